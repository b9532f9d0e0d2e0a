"""Record an event in the transaction that changes the data."""

from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from sqlalchemy import insert, update

from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.events.models import Event
from app.observability.logs import current_request_id
from app.world import World

_insert = insert(table(Event))


@dataclass(frozen=True)
class Actor:
    """The acting party: `operator`, `user`, `device`, `system` or `anonymous`, with its id if it has one."""

    type: str
    id: UUID | None = None

    @classmethod
    def system(cls) -> Self:
        return cls("system")


async def record(
    tx: Transaction, world: World, type: str, actor: Actor, subject: tuple[str, UUID], user_id: UUID | None = None, **data: Any
) -> UUID:
    """Write one event and return its id. `kinds.py` declares the types.

    `data` holds facts, never a secret, a name or an address. A database trigger creates the deliveries to webhooks
    (webhooks/delivery/outbox.py).
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
        "request_id": current_request_id.get(),
        "data": data,
    }
    await tx.execute(_insert, values)
    world.event_wakeup.notify()
    return event_id


async def forget_addresses(tx: Transaction, user_id: UUID) -> None:
    """Remove IP addresses, the only personal data of events, from a user's history. The events stay."""
    login_failures = update(table(Event)).where(Event.user_id == user_id, Event.type == "login.failed")
    await tx.execute(login_failures.values(data=dialect.json_without(tx, table(Event).c.data, "ip")))
