"""Giving seats back, one or many, each with its event."""

from typing import Any

from sqlalchemy import update

from app.db.base import table
from app.db.database import Transaction, on_commit
from app.events.service import Actor, record
from app.licenses.models import Activation
from app.observability.counters import seat_released
from app.world import World

_activations = table(Activation)


async def release(tx: Transaction, world: World, actor: Actor, reason: str, *which: Any) -> int:
    """Release every held seat that fits, of a license that is locked; how many there were."""
    past = {"released_at": world.clock.now(), "release_reason": reason}
    held = update(_activations).where(_activations.c.released_at.is_(None), *which).values(past)
    gone = await tx.execute(held.returning(_activations.c.id, _activations.c.license_id, _activations.c.user_id))
    rows = gone.all()
    for row in rows:
        on_commit(tx, seat_released.inc)
        subject = ("activation", row.id)
        await record(tx, world, "activation.released", actor, subject, row.user_id, license=str(row.license_id), reason=reason)
    return len(rows)
