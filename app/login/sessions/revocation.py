"""Ending sessions: one, all others, or every one of a user. Steps for every room that changes what a session rests on (authentication R59)."""

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
    """End every session and every unfinished login of the user, but for the one that does it; the account's new epoch.

    The epoch rises with it: a login that checked the old password or factors just before finds that it is over. Whatever proof
    was mailed dies with it.
    """
    now = world.clock.now()
    raised = update(User).where(User.id == user_id).values(auth_epoch=User.auth_epoch + 1).returning(User.auth_epoch)
    epoch: int = (await tx.execute(raised)).scalar_one()
    mine, unfinished = (
        (SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None)),
        (Login.user_id == user_id, Login.finished_at.is_(None)),
    )
    others = update(SessionRow).where(*mine, SessionRow.id != session_id if session_id else true())
    ended = (await tx.execute(others.values(revoked_at=now, revoked_reason=reason))).rowcount
    await tx.execute(update(Login).where(*unfinished, Login.id != login_id if login_id else true()).values(finished_at=now))
    await mailed_tokens.void_for_user(tx, world, user_id)
    await tx.execute(update(SessionRow).where(*mine).values(auth_epoch=epoch))
    await tx.execute(update(Login).where(*unfinished).values(auth_epoch=epoch))
    if ended:
        await record(tx, world, "sessions.revoked", actor, ("user", user_id), user_id, reason=reason, count=ended)
    return epoch


async def end_passkey_sessions(tx: Transaction, world: World, actor: Actor, user_id: UUID) -> None:
    """End every session that a passkey was shown in: a copy of it may have opened any of them."""
    mine = (SessionRow.user_id == user_id, SessionRow.passkey_at.is_not(None), SessionRow.revoked_at.is_(None))
    ended = update(SessionRow).where(*mine).values(revoked_at=world.clock.now(), revoked_reason="passkey_suspected")
    if count := (await tx.execute(ended)).rowcount:
        await record(tx, world, "sessions.revoked", actor, ("user", user_id), user_id, reason="passkey_suspected", count=count)


async def revoke_oldest(tx: Transaction, world: World, user_id: UUID, now: datetime) -> None:
    """Let the oldest go beyond what one user may have. The caller holds the user's row, so that twins take turns."""
    live = and_(SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None), SessionRow.expires_at > now)
    kept = select(SessionRow.id).where(live).order_by(SessionRow.id.desc()).limit(world.settings.sessions_per_user)
    over = update(SessionRow).where(live, SessionRow.id.not_in(kept)).values(revoked_at=now, revoked_reason="too_many")
    await tx.execute(over)


async def log_out(world: World, end_user: EndUser) -> None:
    """Revoke the session. Doing it again changes nothing."""
    async with world.db.write() as tx:
        await _end(tx, world, end_user, end_user.session_id, "logout")


async def end_one(world: World, subject: Subject, session_id: UUID) -> None:
    """Revoke one session of one's own; again changes nothing. Raises SessionNotFound."""
    async with world.db.write() as tx:
        if not await _end(tx, world, subject, session_id, "revoked"):
            mine = select(SessionRow.id).where(SessionRow.id == session_id, SessionRow.user_id == subject.id)
            if await tx.scalar(mine) is None:
                raise SessionNotFound


async def end_others(world: World, subject: Subject) -> None:
    """Revoke every session of one's own but this one, and whatever login is under way."""
    async with world.db.write() as tx:
        await end_all(tx, world, subject.actor, subject.id, "revoked", session_id=subject.session_id)


async def _end(tx: Transaction, world: World, end_user: EndUser, session_id: UUID, reason: str) -> bool:
    await lock_unless_erased(tx, end_user.id)  # the user's row first, as whoever erases the user takes it
    mine: tuple[Any, ...] = (SessionRow.id == session_id, SessionRow.user_id == end_user.id, SessionRow.revoked_at.is_(None))
    values = {"revoked_at": world.clock.now(), "revoked_reason": reason}
    if not (await tx.execute(update(SessionRow).where(*mine).values(values))).rowcount:
        return False
    await tx.execute(update(Login).where(Login.session_id == session_id, Login.finished_at.is_(None)).values(finished_at=world.clock.now()))
    await mailed_tokens.void_for_session(tx, world, session_id)
    await record(tx, world, "session.revoked", end_user.actor, ("session", session_id), end_user.id, reason=reason)
    return True
