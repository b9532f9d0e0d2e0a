"""Seats of processes that are gone. Every other seat, and what is known of a device, is kept for ever: its row is used again (R26)."""

from sqlalchemy import String, cast, func, literal_column

from app.db.pruning import prune
from app.licenses.models import Activation
from app.world import World

_a_process = func.replace(Activation.user_key, "-", "") == func.replace(cast(Activation.id, String), "-", "")
"""Whether the seat is one of its own for each process; an identifier in a table's text has dashes on one database alone."""


async def session_seats(world: World) -> int:
    """Delete a batch of the `session` seats that were given back, or lapsed, longer than `SEAT_RETENTION` ago; how many."""
    past = Activation.released_at <= world.clock.now() - world.settings.seat_retention
    indexed = Activation.user_key != literal_column("''")
    return await prune(world.db, Activation, past, indexed, _a_process)
