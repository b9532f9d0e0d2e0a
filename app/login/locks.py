"""Holding rows to the end of a transaction, so that a revoke which was answered is never outrun (authentication R58).

Whoever locks more than one row takes the user's first, then the session's, the login's or the device code's, and
counters last; but the counter of user codes, which nothing else takes, comes before all of them.
"""

from uuid import UUID

from sqlalchemy import update

from app.db.database import Transaction
from app.login.models import SessionRow
from app.users.models import Status, User
from app.web.callers import Subject
from app.web.problems import TokenInvalid
from app.world import World


async def lock_account(tx: Transaction, user_id: UUID, epoch: int) -> bool:
    """Hold the user's row, if the account is open and nothing was revoked since `epoch`."""
    same = (User.id == user_id, User.status == Status.ACTIVE, User.auth_epoch == epoch)
    return (await tx.execute(update(User).where(*same).values(auth_epoch=User.auth_epoch))).rowcount == 1


async def lock_session(tx: Transaction, world: World, user_id: UUID, session_id: UUID, epoch: int) -> bool:
    """Hold the account and one session of it, if both live."""
    live = (SessionRow.id == session_id, SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None), SessionRow.auth_epoch == epoch)
    if not await lock_account(tx, user_id, epoch):
        return False
    held = update(SessionRow).where(*live, SessionRow.expires_at > world.clock.now()).values(rev=SessionRow.rev + 1)
    return (await tx.execute(held)).rowcount == 1


async def lock_subject(tx: Transaction, world: World, subject: Subject) -> None:
    """Hold the account and the session of whoever is about to change what they rest on. Raises TokenInvalid once either is over."""
    if not await lock_session(tx, world, subject.id, subject.session_id, subject.epoch):
        raise TokenInvalid("The session is over; log in again.")
