"""Letters that are over and done with."""

from datetime import timedelta

from sqlalchemy import or_

from app.db.pruning import prune
from app.mail.models import Message
from app.world import World

KEPT = timedelta(days=7)


async def letters(world: World) -> int:
    """Delete a batch of the letters that were sent or given up, a week after they were written; how many."""
    over = or_(Message.sent_at.is_not(None), Message.failed_at.is_not(None))
    return await prune(world.db, Message, Message.created_at <= world.clock.now() - KEPT, over)
