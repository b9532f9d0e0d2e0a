"""Forgetting whom letters went to: what waits is not sent, and what is sealed beside it goes."""

from uuid import UUID

from sqlalchemy import update

from app.db.database import Session
from app.mail.models import Message
from app.world import World


async def erase(session: Session, world: World, user_id: UUID) -> None:
    """Give up the letters to the user that wait. That there were letters stays until they are swept, without address and words."""
    waiting = (Message.user_id == user_id, Message.sent_at.is_(None), Message.failed_at.is_(None))
    over = {"failed_at": world.clock.now(), "last_error": "erased", "claimed_until": None}
    await session.execute(update(Message).where(*waiting).values(over))
    await session.execute(update(Message).where(Message.user_id == user_id).values(recipient_sealed=None, facts_sealed=None))
