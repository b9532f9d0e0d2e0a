"""The chain of refresh tokens of a session: each is exchanged once for its child; one that comes back ends the session (authentication R57).

Whoever rotates takes the session's row first, so rotations take turns and a revoke that was answered cannot be outrun (authentication R58).
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
from app.security.sealing import token_digest
from app.users.data_lifecycle import lock_unless_erased
from app.users.models import Status, User
from app.world import World

PREFIX = "rt_"
GRACE_PERIOD = timedelta(seconds=10)
"""How long an exchange may be repeated, if what it gave was not used: the answer may have been lost on its way.
A clock that was set back meanwhile makes it no longer."""

_link = select(*table(RefreshToken).columns, SessionRow.user_id).join(SessionRow, SessionRow.id == RefreshToken.session_id)


@dataclass(frozen=True)
class IssuedRefreshToken:
    """A refresh token as it is handed out, this once."""

    token: str = field(repr=False)
    expires_at: datetime


async def issue(tx: Transaction, world: World, row: Mapping[str, Any], parent: UUID | None = None) -> IssuedRefreshToken:
    """A new token for a session. It idles out, and never outlives the session (authentication R56)."""
    now, token = world.clock.now(), world.entropy.secret(PREFIX)
    expires_at = min(now + world.settings.refresh_idle, row["expires_at"])
    values = {
        "id": world.entropy.identifier(),
        "session_id": row["id"],
        "parent_id": parent,
        "token_hash": token_digest(token),
        "created_at": now,
        "expires_at": expires_at,
    }
    await tx.execute(insert(RefreshToken).values(values))
    seen = update(SessionRow).where(SessionRow.id == row["id"]).values(last_seen_at=now, idle_expires_at=expires_at)
    await tx.execute(seen)
    return IssuedRefreshToken(token, expires_at)


async def rotate(tx: Transaction, world: World, digest: bytes) -> tuple[dict[str, Any], IssuedRefreshToken] | None:
    """(the session's columns, its fresh token). None refuses; what was written stands then: a reuse has ended the session."""
    now = world.clock.now()
    link = (await tx.execute(_link.where(RefreshToken.token_hash == digest))).one_or_none()
    row = await _take(tx, link, now) if link is not None else None
    if link is None or row is None:
        return None
    if await _spend(tx, RefreshToken.id == link.id, now):
        return row, await issue(tx, world, row, link.id)
    link = (await tx.execute(_link.where(RefreshToken.id == link.id))).one()  # as it stands now that the row is ours
    if link.used_at is None and link.dropped_at is None:
        return None  # idled out
    if link.used_at is not None and link.used_at == link.dropped_at and abs(now - link.used_at) <= GRACE_PERIOD:
        return None  # replaced by a step-up just now, and asked with by another thread of the same client
    if link.dropped_at is None and abs(now - link.used_at) <= GRACE_PERIOD and await _drop_unused_child(tx, link.id, now):
        return row, await issue(tx, world, row, link.id)
    await _end(tx, world, link, now)
    return None


async def _take(tx: Transaction, link: AnyRow, now: datetime) -> dict[str, Any] | None:
    """Hold the session's row to the end of the transaction; None when the session is over.

    The user's row comes first, as for whoever erases the user: later writes to the session would ask for it again.
    """
    if not await lock_unless_erased(tx, link.user_id):
        return None
    epoch = select(User.auth_epoch).where(User.id == SessionRow.user_id, User.status == Status.ACTIVE).scalar_subquery()
    live = (SessionRow.id == link.session_id, SessionRow.revoked_at.is_(None), SessionRow.expires_at > now, SessionRow.auth_epoch == epoch)
    taken = update(SessionRow).where(*live).values(rev=SessionRow.rev + 1).returning(*table(SessionRow).columns)
    row = (await tx.execute(taken)).one_or_none()
    return dict(row._mapping) if row is not None else None


async def _spend(tx: Transaction, which: Any, now: datetime) -> bool:
    unspent = (which, RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None), RefreshToken.expires_at > now)
    return (await tx.execute(update(RefreshToken).where(*unspent).values(used_at=now))).rowcount == 1


async def _drop_unused_child(tx: Transaction, parent: UUID, now: datetime) -> bool:
    unused = (RefreshToken.parent_id == parent, RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None))
    return (await tx.execute(update(RefreshToken).where(*unused).values(dropped_at=now))).rowcount == 1


async def _end(tx: Transaction, world: World, link: AnyRow, now: datetime) -> None:
    """Somebody holds a copy: the whole family dies, whoever is who."""
    still = update(SessionRow).where(SessionRow.id == link.session_id, SessionRow.revoked_at.is_(None))
    if (await tx.execute(still.values(revoked_at=now, revoked_reason="reuse"))).rowcount:
        about = ("session", link.session_id)
        await record(tx, world, "session.token_reused", Actor.system(), about, link.user_id, refresh_token=str(link.id))


async def replace_token(tx: Transaction, world: World, row: Mapping[str, Any]) -> IssuedRefreshToken:
    """A new token in the place of whatever the session has: at every rise of assurance (authentication R55). The caller holds the row.

    What it replaces has no grace: it was shown by less than the session now is.
    """
    now = world.clock.now()
    unused = (RefreshToken.session_id == row["id"], RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None))
    replaced = update(RefreshToken).where(*unused).values(used_at=now, dropped_at=now).returning(RefreshToken.id)
    spent = (await tx.scalars(replaced)).all()
    return await issue(tx, world, row, spent[0] if spent else None)


async def find_unspent(tx: Transaction, digest: bytes, now: datetime) -> AnyRow | None:
    """A token that could be exchanged now, as far as the chain knows."""
    good = (RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None), RefreshToken.expires_at > now)
    return (await tx.execute(_link.where(RefreshToken.token_hash == digest, *good))).one_or_none()
