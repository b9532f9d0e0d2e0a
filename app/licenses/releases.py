"""Release seats, one or many, each with its event."""

from typing import Any

from sqlalchemy import update

from app.db.base import table
from app.db.database import Transaction, on_commit
from app.events.service import Actor, record
from app.licenses.models import Activation
from app.observability.counters import seat_released
from app.world import World

_activations = table(Activation)


async def release_seats(tx: Transaction, world: World, actor: Actor, reason: str, *conditions: Any) -> int:
    """Release every occupied seat that meets the conditions and return their number. The caller has locked the license."""
    occupied = update(_activations).where(_activations.c.released_at.is_(None), *conditions)
    release = occupied.values({"released_at": world.clock.now(), "release_reason": reason})
    result = await tx.execute(release.returning(_activations.c.id, _activations.c.license_id, _activations.c.user_id))
    rows = result.all()
    for row in rows:
        on_commit(tx, seat_released.inc)
        subject = ("activation", row.id)
        await record(tx, world, "activation.released", actor, subject, row.user_id, license=str(row.license_id), reason=reason)
    return len(rows)
