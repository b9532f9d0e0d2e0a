"""Writes letters into the outbox, in the transaction of the change that they report. Requests never send e-mail directly."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import insert

from app.base.durations import instant_text
from app.db.base import table
from app.db.database import Transaction
from app.mail.models import Message, Template
from app.mail.rules import FACTS, choose_letter_language
from app.security.sealing import Place
from app.world import World

Facts: TypeAlias = Mapping[str, str | int | datetime | None]

_insert = insert(table(Message))


@dataclass(frozen=True)
class Recipient:
    """The recipient of a letter. `name` is used in the header only, never in the text, because a stranger may have chosen it."""

    address: str = field(repr=False)
    locale: str | None = None
    name: str | None = field(default=None, repr=False)
    user_id: UUID | None = None


def recipient_place(message_id: UUID) -> Place:
    """Return the place that the sealed recipient is bound to."""
    return Place("messages", "recipient_sealed", message_id)


def facts_place(message_id: UUID) -> Place:
    """Return the place that the sealed facts are bound to."""
    return Place("messages", "facts_sealed", message_id)


async def enqueue_letter(
    tx: Transaction, world: World, to: Recipient | None, template: Template, facts: Facts, *, until: datetime | None = None
) -> None:
    """Write one letter, to be sent after the commit. A step.

    `facts` are those that `FACTS` lists for the template. `until`: the time after which it is not sent, if `facts` has no `expires`.

    With `to` None it does the same work but writes a row that is never sent, so that the response time does not reveal whether an
    account exists. Without a configured mail server nothing is written. Raises ValueError for wrong facts.
    """
    if set(facts) != FACTS[template]:
        raise ValueError(f"{template} needs the facts {sorted(FACTS[template])}")
    if not world.settings.mail_configured:
        return
    now, message_id = world.clock.now(), world.entropy.identifier()
    texts = {name: instant_text(value) if isinstance(value, datetime) else value for name, value in facts.items()}
    facts_sealed = world.keys.sealer.seal(json.dumps(texts).encode(), facts_place(message_id))
    recipient = {"address": to.address, "name": to.name} if to else {}
    recipient_sealed = world.keys.sealer.seal(json.dumps(recipient).encode(), recipient_place(message_id))
    expires = until or facts.get("expires")
    values = {
        "id": message_id,
        "user_id": to.user_id if to else None,
        "template": template,
        "locale": choose_letter_language(to.locale if to else None),
        "recipient_sealed": recipient_sealed if to else None,
        "facts_sealed": facts_sealed if to else None,
        "created_at": now,
        "due_at": now,
        "expires_at": expires if isinstance(expires, datetime) else None,
        "attempts": 0,
        "sent_at": None if to else now,
    }
    await tx.execute(_insert, values)
    if to:
        world.mail_wakeup.notify()
