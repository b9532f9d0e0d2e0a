"""Refresh tokens of a session: each is exchanged once for its successor; reuse ends the session (authentication R57).

A rotation locks the session's row first, so rotations are serialised and a revocation that was answered always wins (authentication R58).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login.models import RefreshToken, SessionRow
from app.security.sealing import digest_token
from app.users.data_lifecycle import lock_unless_erased
from app.users.models import User, UserStatus
from app.world import World

PREFIX = "rt_"
GRACE_PERIOD = timedelta(seconds=10)
"""How long an exchange may be repeated if its result was not used, because the response may have been lost.
Setting the clock back does not extend it.
"""

_link = select(*table(RefreshToken).columns, SessionRow.user_id).join(SessionRow, SessionRow.id == RefreshToken.session_id)


@dataclass(frozen=True)
class IssuedRefreshToken:
    """A new refresh token, returned once."""

    token: str = field(repr=False)
    expires_at: datetime


async def issue(tx: Transaction, world: World, row: Mapping[str, Any], parent: UUID | None = None) -> IssuedRefreshToken:
    """Insert a new token for a session. It expires when idle, and never after the session (authentication R56)."""
    now, token = world.clock.now(), world.entropy.secret(PREFIX)
    expires_at = min(now + world.settings.refresh_idle, row["expires_at"])
    values = {
        "id": world.entropy.identifier(),
        "session_id": row["id"],
        "parent_id": parent,
        "token_hash": digest_token(token),
        "created_at": now,
        "expires_at": expires_at,
    }
    await tx.execute(insert(RefreshToken).values(values))
    refreshed = update(SessionRow).where(SessionRow.id == row["id"]).values(last_seen_at=now, idle_expires_at=expires_at)
    await tx.execute(refreshed)
    return IssuedRefreshToken(token, expires_at)


async def rotate(tx: Transaction, world: World, digest: bytes) -> tuple[dict[str, Any], IssuedRefreshToken] | None:
    """Exchange a token; return (session columns, new token), or None if it is refused.

    After a refusal the transaction must still be committed: reuse has ended the session.
    """
    now = world.clock.now()
    link = (await tx.execute(_link.where(RefreshToken.token_hash == digest))).one_or_none()
    row = await _lock_session(tx, link, now) if link is not None else None
    if link is None or row is None:
        return None
    if await _spend(tx, RefreshToken.id == link.id, now):
        return row, await issue(tx, world, row, link.id)
    link = (await tx.execute(_link.where(RefreshToken.id == link.id))).one()  # read again now that the session is locked
    if link.used_at is None and link.dropped_at is None:
        return None  # expired while idle
    if link.used_at is not None and link.used_at == link.dropped_at and abs(now - link.used_at) <= GRACE_PERIOD:
        return None  # just replaced by a step-up; another thread of the client still used the old token
    if link.dropped_at is None and abs(now - link.used_at) <= GRACE_PERIOD and await _drop_unused_child(tx, link.id, now):
        return row, await issue(tx, world, row, link.id)
    await _end(tx, world, link, now)
    return None


async def _lock_session(tx: Transaction, link: AnyRow, now: datetime) -> dict[str, Any] | None:
    """Lock the session's row until the end of the transaction; None if the session is over. Lock order: docs/architecture.md."""
    if not await lock_unless_erased(tx, link.user_id):
        return None
    epoch = select(User.auth_epoch).where(User.id == SessionRow.user_id, User.status == UserStatus.ACTIVE).scalar_subquery()
    live = (SessionRow.id == link.session_id, SessionRow.revoked_at.is_(None), SessionRow.expires_at > now, SessionRow.auth_epoch == epoch)
    lock = update(SessionRow).where(*live).values(rev=SessionRow.rev + 1).returning(*table(SessionRow).columns)
    row = (await tx.execute(lock)).one_or_none()
    return dict(row._mapping) if row is not None else None


async def _spend(tx: Transaction, condition: Any, now: datetime) -> bool:
    """Mark the token as exchanged; False if it was already exchanged, dropped or expired."""
    unspent = (condition, RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None), RefreshToken.expires_at > now)
    return (await tx.execute(update(RefreshToken).where(*unspent).values(used_at=now))).rowcount == 1


async def _drop_unused_child(tx: Transaction, parent: UUID, now: datetime) -> bool:
    unused = (RefreshToken.parent_id == parent, RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None))
    return (await tx.execute(update(RefreshToken).where(*unused).values(dropped_at=now))).rowcount == 1


async def _end(tx: Transaction, world: World, link: AnyRow, now: datetime) -> None:
    """End the session after reuse, because the owner cannot be distinguished from the thief. Record the event once."""
    live = update(SessionRow).where(SessionRow.id == link.session_id, SessionRow.revoked_at.is_(None))
    if (await tx.execute(live.values(revoked_at=now, revoked_reason="reuse"))).rowcount:
        target = ("session", link.session_id)
        await record(tx, world, "session.token_reused", Actor.system(), target, link.user_id, refresh_token=str(link.id))


async def replace_token(tx: Transaction, world: World, row: Mapping[str, Any]) -> IssuedRefreshToken:
    """Replace the session's current token when its assurance rises (authentication R55). The caller has locked the row.

    The replaced token gets no grace period: it was issued at a lower assurance.
    """
    now = world.clock.now()
    unused = (RefreshToken.session_id == row["id"], RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None))
    replaced = update(RefreshToken).where(*unused).values(used_at=now, dropped_at=now).returning(RefreshToken.id)
    spent = (await tx.scalars(replaced)).all()
    return await issue(tx, world, row, spent[0] if spent else None)


async def find_unspent(tx: Transaction, digest: bytes, now: datetime) -> AnyRow | None:
    """Return a token that could be exchanged now; the session itself is not checked."""
    usable = (RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None), RefreshToken.expires_at > now)
    return (await tx.execute(_link.where(RefreshToken.token_hash == digest, *usable))).one_or_none()
