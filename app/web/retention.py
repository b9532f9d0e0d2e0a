"""What the HTTP kit keeps only for a time: first answers, and counts of failures."""

from app.db.pruning import prune
from app.web.models import FailureCount, KeptAnswer
from app.world import World


async def kept_answers(world: World) -> int:
    """Delete a batch of the answers that are repeated no more; how many."""
    return await prune(world.db, KeptAnswer, KeptAnswer.kept_until <= world.clock.now())


async def failure_counts(world: World) -> int:
    """Delete a batch of the counts whose window is over; how many."""
    return await prune(world.db, FailureCount, FailureCount.until <= world.clock.now())
