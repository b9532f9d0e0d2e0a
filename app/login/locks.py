"""Lock rows until the end of the transaction, so that a revocation that was already answered takes effect (authentication R58).

Lock order: docs/architecture.md.
"""

from uuid import UUID

from sqlalchemy import update

from app.db.database import Transaction
from app.login.models import SessionRow
from app.users.models import User, UserStatus
from app.web.callers import Subject
from app.web.problems import TokenInvalid
from app.world import World


async def lock_account(tx: Transaction, user_id: UUID, epoch: int) -> bool:
    """Lock the user's row; False if the account is not active or its `auth_epoch` is no longer `epoch`."""
    unchanged = (User.id == user_id, User.status == UserStatus.ACTIVE, User.auth_epoch == epoch)
    return (await tx.execute(update(User).where(*unchanged).values(auth_epoch=User.auth_epoch))).rowcount == 1


async def lock_session(tx: Transaction, world: World, user_id: UUID, session_id: UUID, epoch: int) -> bool:
    """Lock the account and one of its sessions; False if either is no longer valid."""
    live = (SessionRow.id == session_id, SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None), SessionRow.auth_epoch == epoch)
    if not await lock_account(tx, user_id, epoch):
        return False
    lock = update(SessionRow).where(*live, SessionRow.expires_at > world.clock.now()).values(rev=SessionRow.rev + 1)
    return (await tx.execute(lock)).rowcount == 1


async def lock_subject(tx: Transaction, world: World, subject: Subject) -> None:
    """Lock the account and session of a caller who is about to change them. Raises TokenInvalid if either is no longer valid."""
    if not await lock_session(tx, world, subject.id, subject.session_id, subject.epoch):
        raise TokenInvalid("The session has ended; log in again.")
