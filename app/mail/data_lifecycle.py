"""Erasure, export and retention of letters."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import or_, select, update

from app.db.database import Transaction
from app.db.export_pages import EXPORTED_USER, ExportSection
from app.db.pruning import prune
from app.mail.models import Message
from app.world import World

RETENTION = timedelta(days=7)

_letters = select(Message.id, Message.template, Message.locale, Message.created_at, Message.sent_at, Message.failed_at)
SECTIONS = (ExportSection("letters", _letters.where(Message.user_id == EXPORTED_USER), Message.id),)


async def erase(tx: Transaction, world: World, user_id: UUID) -> None:
    """Cancel the user's waiting letters, and delete address and facts from all letters. The rows stay for their retention. A step."""
    waiting = (Message.user_id == user_id, Message.sent_at.is_(None), Message.failed_at.is_(None))
    cancelled = {"failed_at": world.clock.now(), "last_error": "erased", "claimed_until": None}
    await tx.execute(update(Message).where(*waiting).values(cancelled))
    await tx.execute(update(Message).where(Message.user_id == user_id).values(recipient_sealed=None, facts_sealed=None))


async def prune_letters(world: World) -> int:
    """Delete a batch of sent and given-up letters older than `RETENTION`; return how many."""
    is_done = or_(Message.sent_at.is_not(None), Message.failed_at.is_not(None))
    return await prune(world.db, Message, Message.created_at <= world.clock.now() - RETENTION, is_done)
