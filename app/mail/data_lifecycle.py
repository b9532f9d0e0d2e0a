"""Forgetting whom letters went to: what waits is not sent, and what is sealed beside it goes."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import or_, select, update

from app.db.database import Transaction
from app.db.export_pages import EXPORTED_USER, ExportSection
from app.db.pruning import prune
from app.mail.models import Message
from app.world import World


async def erase(tx: Transaction, world: World, user_id: UUID) -> None:
    """Give up the letters to the user that wait. That there were letters stays until they are swept, without address and words."""
    waiting = (Message.user_id == user_id, Message.sent_at.is_(None), Message.failed_at.is_(None))
    over = {"failed_at": world.clock.now(), "last_error": "erased", "claimed_until": None}
    await tx.execute(update(Message).where(*waiting).values(over))
    await tx.execute(update(Message).where(Message.user_id == user_id).values(recipient_sealed=None, facts_sealed=None))


_letters = select(Message.id, Message.template, Message.locale, Message.created_at, Message.sent_at, Message.failed_at)
SECTIONS = (ExportSection("letters", _letters.where(Message.user_id == EXPORTED_USER), Message.id),)


KEPT = timedelta(days=7)


async def prune_letters(world: World) -> int:
    """Delete a batch of the letters that were sent or given up, a week after they were written; how many."""
    over = or_(Message.sent_at.is_not(None), Message.failed_at.is_not(None))
    return await prune(world.db, Message, Message.created_at <= world.clock.now() - KEPT, over)
