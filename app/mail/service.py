"""Writing a letter into the outbox: one step, in the transaction of what it tells of. Nothing is ever sent from a request."""

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
from app.mail.rules import FACTS, language
from app.security.sealing import Place
from app.world import World

Facts: TypeAlias = Mapping[str, str | int | datetime | None]

_insert = insert(table(Message))


@dataclass(frozen=True)
class Recipient:
    """Whom a letter goes to. `name` stands in the header alone, never in the text: a stranger may have chosen it."""

    address: str = field(repr=False)
    locale: str | None = None
    name: str | None = field(default=None, repr=False)
    user_id: UUID | None = None


def recipient_place(message_id: UUID) -> Place:
    return Place("messages", "recipient_sealed", message_id)


def facts_place(message_id: UUID) -> Place:
    return Place("messages", "facts_sealed", message_id)


async def enqueue_letter(
    tx: Transaction, world: World, to: Recipient | None, template: Template, facts: Facts, *, until: datetime | None = None
) -> None:
    """Write one letter, to be sent after the commit. `facts` are those that `FACTS` names for the template.

    `until`: when it is not worth sending any more, if that is not one of its facts.

    `to` None writes a row that is sent to nobody and over at once: the same work, for answers that must not tell by their time
    whether there is somebody. Without a mailer nothing is written. Raises ValueError for wrong facts.
    """
    if set(facts) != FACTS[template]:
        raise ValueError(f"{template} wants the facts {sorted(FACTS[template])}")
    if not world.settings.mail_configured:
        return
    now, message_id = world.clock.now(), world.entropy.identifier()
    told = {name: instant_text(value) if isinstance(value, datetime) else value for name, value in facts.items()}
    sealed = world.keys.sealer.seal(json.dumps(told).encode(), facts_place(message_id))
    whom = {"address": to.address, "name": to.name} if to else {}
    sealed_whom = world.keys.sealer.seal(json.dumps(whom).encode(), recipient_place(message_id))
    expires = until or facts.get("expires")
    values = {
        "id": message_id,
        "user_id": to.user_id if to else None,
        "template": template,
        "locale": language(to.locale if to else None),
        "recipient_sealed": sealed_whom if to else None,
        "facts_sealed": sealed if to else None,
        "created_at": now,
        "due_at": now,
        "expires_at": expires if isinstance(expires, datetime) else None,
        "attempts": 0,
        "sent_at": None if to else now,
    }
    await tx.execute(_insert, values)
    if to:
        world.mail_wakeup.notify()
