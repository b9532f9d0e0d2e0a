"""End one session, all others, or all of a user. Other modules of login call it when credentials change (authentication R59)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select, true, update

from app.db.database import Transaction
from app.events.service import Actor, record
from app.login import mailed_tokens
from app.login.models import Login, SessionRow
from app.login.problems import SessionNotFound
from app.users.data_lifecycle import lock_unless_erased
from app.users.models import User
from app.web.callers import EndUser, Subject
from app.world import World


async def end_all(
    tx: Transaction, world: World, actor: Actor, user_id: UUID, reason: str, *, session_id: UUID | None = None, login_id: UUID | None = None
) -> int:
    """End all sessions and pending logins of the user, void mailed tokens, and return the account's new epoch.

    `session_id` and `login_id` continue.

    The epoch rises, so a login that checked the old password or factors just before is refused.
    """
    now = world.clock.now()
    bump = update(User).where(User.id == user_id).values(auth_epoch=User.auth_epoch + 1).returning(User.auth_epoch)
    epoch: int = (await tx.execute(bump)).scalar_one()
    live_sessions = (SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None))
    open_logins = (Login.user_id == user_id, Login.finished_at.is_(None))
    others = update(SessionRow).where(*live_sessions, SessionRow.id != session_id if session_id else true())
    count = (await tx.execute(others.values(revoked_at=now, revoked_reason=reason))).rowcount
    await tx.execute(update(Login).where(*open_logins, Login.id != login_id if login_id else true()).values(finished_at=now))
    await mailed_tokens.void_for_user(tx, world, user_id)
    await tx.execute(update(SessionRow).where(*live_sessions).values(auth_epoch=epoch))
    await tx.execute(update(Login).where(*open_logins).values(auth_epoch=epoch))
    if count:
        await record(tx, world, "sessions.revoked", actor, ("user", user_id), user_id, reason=reason, count=count)
    return epoch


async def end_passkey_sessions(tx: Transaction, world: World, actor: Actor, user_id: UUID) -> None:
    """End all sessions in which a passkey was used: a copy of it may have opened any of them."""
    affected = (SessionRow.user_id == user_id, SessionRow.passkey_at.is_not(None), SessionRow.revoked_at.is_(None))
    revoke = update(SessionRow).where(*affected).values(revoked_at=world.clock.now(), revoked_reason="passkey_suspected")
    if count := (await tx.execute(revoke)).rowcount:
        await record(tx, world, "sessions.revoked", actor, ("user", user_id), user_id, reason="passkey_suspected", count=count)


async def revoke_oldest(tx: Transaction, world: World, user_id: UUID, now: datetime) -> None:
    """Revoke the oldest sessions above the limit per user. The caller has locked the user's row."""
    live = and_(SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None), SessionRow.expires_at > now)
    newest = select(SessionRow.id).where(live).order_by(SessionRow.id.desc()).limit(world.settings.sessions_per_user)
    revoke = update(SessionRow).where(live, SessionRow.id.not_in(newest)).values(revoked_at=now, revoked_reason="too_many")
    await tx.execute(revoke)


async def log_out(world: World, end_user: EndUser) -> None:
    """Revoke the caller's session; repeating the call has no effect."""
    async with world.db.write() as tx:
        await _end(tx, world, end_user, end_user.session_id, "logout")


async def end_one(world: World, subject: Subject, session_id: UUID) -> None:
    """Revoke one session of the caller; repeating the call has no effect. Raises SessionNotFound."""
    async with world.db.write() as tx:
        if not await _end(tx, world, subject, session_id, "revoked"):
            own_session = select(SessionRow.id).where(SessionRow.id == session_id, SessionRow.user_id == subject.id)
            if await tx.scalar(own_session) is None:
                raise SessionNotFound


async def end_others(world: World, subject: Subject) -> None:
    """Revoke all other sessions of the caller and all pending logins."""
    async with world.db.write() as tx:
        await end_all(tx, world, subject.actor, subject.id, "revoked", session_id=subject.session_id)


async def _end(tx: Transaction, world: World, end_user: EndUser, session_id: UUID, reason: str) -> bool:
    await lock_unless_erased(tx, end_user.id)  # lock order: docs/architecture.md
    live_session: tuple[Any, ...] = (SessionRow.id == session_id, SessionRow.user_id == end_user.id, SessionRow.revoked_at.is_(None))
    values = {"revoked_at": world.clock.now(), "revoked_reason": reason}
    if not (await tx.execute(update(SessionRow).where(*live_session).values(values))).rowcount:
        return False
    await tx.execute(update(Login).where(Login.session_id == session_id, Login.finished_at.is_(None)).values(finished_at=world.clock.now()))
    await mailed_tokens.void_for_session(tx, world, session_id)
    await record(tx, world, "session.revoked", end_user.actor, ("session", session_id), end_user.id, reason=reason)
    return True
