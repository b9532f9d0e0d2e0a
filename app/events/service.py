"""Recording an event: one step, inside the transaction of what it tells of."""

from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from asgi_correlation_id import correlation_id
from sqlalchemy import insert, update

from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.events.models import Event
from app.world import World

_insert = insert(table(Event))


@dataclass(frozen=True)
class Actor:
    """Who did it: `operator`, `user`, `device`, `system` or `anonymous`."""

    type: str
    id: UUID | None = None

    @classmethod
    def system(cls) -> Self:
        return cls("system")


async def record(
    tx: Transaction, world: World, type: str, actor: Actor, subject: tuple[str, UUID], user_id: UUID | None = None, **data: Any
) -> UUID:
    """Write one event, of a kind that `kinds.py` declares; its id. `data` holds facts only: never a secret, never a name or an address.

    The database itself makes the deliveries to whoever listens (webhooks/outbox.py).
    """
    event_id = world.entropy.identifier()
    values = {
        "id": event_id,
        "at": world.clock.now(),
        "type": type,
        "actor_type": actor.type,
        "actor_id": actor.id,
        "subject_type": subject[0],
        "subject_id": subject[1],
        "user_id": user_id,
        "request_id": correlation_id.get(),
        "data": data,
    }
    await tx.execute(_insert, values)
    world.event_wakeup.notify()
    return event_id


async def forget_addresses(tx: Transaction, user_id: UUID) -> None:
    """Take the IP addresses, all that an event may say of a person, out of a user's history. That there was an event stays."""
    mine = update(table(Event)).where(Event.user_id == user_id, Event.type == "login.failed")
    await tx.execute(mine.values(data=dialect.json_without(tx, table(Event).c.data, "ip")))
