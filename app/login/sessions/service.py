"""Sessions of end users. Every request is checked against the row; token contents serve other services (authentication R60)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, insert, select, update

from app.db.base import table
from app.db.database import Transaction, on_commit
from app.db.types import AnyRow
from app.events.service import record
from app.login import notices
from app.login.conditions import HAS_PASSKEY, HAS_SECOND_FACTOR
from app.login.models import SessionRow
from app.login.rules import AssuranceLevel, Proofs, compute_acr
from app.login.sessions import refresh, revocation
from app.observability import counters
from app.users.models import User, UserStatus
from app.users.service import get_user
from app.web.callers import EndUser, Origin, Subject
from app.web.paging import PageWindow, read_page
from app.web.problems import TokenInvalid
from app.world import World

_columns = (
    SessionRow.id.label("session_id"),
    SessionRow.amr,
    SessionRow.password_at,
    SessionRow.second_factor_at,
    SessionRow.passkey_at,
    SessionRow.let_in_by,
    SessionRow.expires_at.label("session_expires_at"),
    SessionRow.auth_epoch.label("session_epoch"),
    SessionRow.revoked_at,
    HAS_SECOND_FACTOR.label("has_second_factor"),
)
SESSION_COLUMNS = (*_columns, HAS_PASSKEY.label("has_passkey"), User.email_verified_at, User.status, User.auth_epoch)
"""Columns for a statement over sessions and users: the input of `is_alive` and `read_proofs`, and the account's state."""
_session = (
    select(*table(User).columns, *_columns, SessionRow.created_at.label("opened_at"))
    .join(User, User.id == SessionRow.user_id)
    .where(SessionRow.id == bindparam("session_id", type_=Uuid), User.id == bindparam("user_id", type_=Uuid))
)


@dataclass(frozen=True)
class ClientDetails:
    """The application's description of itself at login, unverified.

    `digest` recognises the device later. `approved_by` is the session that approved a device grant.
    """

    product: str | None = None
    device: Mapping[str, Any] | None = None
    digest: bytes | None = None
    approved_by: UUID | None = None


def describe_client(world: World, product: str | None, device: Mapping[str, Any] | None) -> ClientDetails:
    """Build the client details to store; the device gets a keyed digest by which it is recognised."""
    if device is None:
        return ClientDetails(product)
    return ClientDetails(product, device, world.keys.lookup.digest("device", device["fingerprint"]))


UNKNOWN_CLIENT = ClientDetails()
"""An application that reported nothing about itself."""


async def open_session(
    tx: Transaction, world: World, origin: Origin, user_id: UUID, epoch: int, proofs: Proofs, client: ClientDetails
) -> tuple[dict[str, Any], refresh.IssuedRefreshToken]:
    """Insert the session of a completed login and its first refresh token. The caller has locked the account.

    Its lifetime starts at the latest proof, so a device grant does not extend it (authentication R56, R66).
    """
    now, session_id = world.clock.now(), world.entropy.identifier()
    row: dict[str, Any] = {
        "id": session_id,
        "user_id": user_id,
        "amr": proofs.amr,
        "password_at": proofs.password_at,
        "second_factor_at": proofs.second_factor_at,
        "passkey_at": proofs.passkey_at,
        "let_in_by": client.approved_by,
        "ip": origin.ip,
        "user_agent": origin.user_agent,
        "auth_epoch": epoch,
        "product": client.product,
        "device": client.device,
        "device_digest": client.digest,
        "created_at": now,
        "expires_at": (proofs.latest or now) + world.settings.session_lifetime,
    }
    await tx.execute(insert(SessionRow).values(row))
    await tx.execute(update(User).where(User.id == user_id).values(last_login_at=now))
    await revocation.revoke_oldest(tx, world, user_id, now)
    on_commit(tx, counters.login_opened.inc)
    actor = EndUser(user_id, session_id).actor
    await record(tx, world, "session.opened", actor, ("session", session_id), user_id, amr=proofs.amr, product=client.product)
    await notices.notify_new_login(tx, world, origin, user_id, session_id, client.digest)
    return row, await refresh.issue(tx, world, row)


async def raise_assurance(
    tx: Transaction, world: World, user_id: UUID, session_id: UUID, proofs: Proofs
) -> tuple[dict[str, Any], refresh.IssuedRefreshToken] | None:
    """Store a new second factor in a session and replace its tokens (authentication R55); None if the session was revoked meanwhile."""
    now = world.clock.now()
    live = (SessionRow.id == session_id, SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None), SessionRow.expires_at > now)
    values = {"amr": proofs.amr, "second_factor_at": now, "passkey_at": proofs.passkey_at, "let_in_by": None}
    change = update(SessionRow).where(*live).values(values).returning(*table(SessionRow).columns)
    result = (await tx.execute(change)).one_or_none()
    if result is None:
        return None
    row = dict(result._mapping)
    on_commit(tx, counters.login_stepped_up.inc)
    actor = EndUser(user_id, session_id).actor
    await record(tx, world, "session.stepped_up", actor, ("session", session_id), user_id, amr=proofs.amr)
    return row, await refresh.replace_token(tx, world, row)


def read_proofs(row: AnyRow | Subject) -> Proofs:
    """Return the proofs of a session, from its row or from its calling end user."""
    key = "swk" if "swk" in row.amr else "hwk"
    second = next((method for method in ("rc", "otp") if method in row.amr), key)
    return Proofs(row.password_at, row.second_factor_at, second, row.passkey_at, key)


def compute_level(world: World, row: AnyRow) -> AssuranceLevel:
    """Return the present assurance level of a session row."""
    return compute_acr(read_proofs(row), world.clock.now(), world.settings.second_factor_lifetime)


def _build_parameters(end_user: EndUser) -> Mapping[str, Any]:
    return {"session_id": end_user.session_id, "user_id": end_user.id}


def is_alive(row: AnyRow | None, now: datetime, end_user: EndUser) -> bool:
    """Report whether the session and the access token are valid.

    A session is invalid if it was revoked, has expired or belongs to an older epoch of the account. A token is invalid if it was issued
    before the session's latest step-up, which replaced it (authentication R55). Sessions of a suspended account count as alive, so that
    the caller learns the reason; after the account is restored they are invalid (authentication R59).
    """
    if row is None or row.revoked_at is not None or now >= row.session_expires_at:
        return False
    if (
        end_user.token_issued_at is not None
        and row.second_factor_at is not None
        and end_user.token_issued_at < int(row.second_factor_at.timestamp())
    ):
        return False
    return bool(row.session_epoch == row.auth_epoch or row.status != UserStatus.ACTIVE)


async def load_session(world: World, end_user: EndUser) -> AnyRow:
    """Load a live session of an active account in one statement. Raises TokenInvalid."""
    row = await world.db.query_one(_session, _build_parameters(end_user))
    if row is None or not is_alive(row, world.clock.now(), end_user) or row.status != UserStatus.ACTIVE:
        raise TokenInvalid("The session has ended; log in again.")
    return row


async def load_subject(world: World, end_user: EndUser) -> Subject:
    """Load the calling end user. Raises TokenInvalid."""
    row = await load_session(world, end_user)
    return Subject(
        id=end_user.id,
        session_id=end_user.session_id,
        amr=tuple(row.amr),
        auth_time=read_proofs(row).latest or row.opened_at,
        second_factor_at=row.second_factor_at,
        passkey_at=row.passkey_at,
        password_at=row.password_at,
        email_verified=row.email_verified_at is not None,
        has_second_factor=row.has_second_factor,
        via_device_grant=row.let_in_by is not None,
        epoch=row.session_epoch,
    )


_of_users = select(*table(SessionRow).columns).join(User, User.id == SessionRow.user_id)


async def list_sessions(world: World, user_id: UUID, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    """List a user's live sessions: not revoked, expired or idle for too long, and of the account's present epoch."""
    now = world.clock.now()
    not_idle = func.coalesce(SessionRow.idle_expires_at, SessionRow.expires_at) > now
    live = (SessionRow.revoked_at.is_(None), SessionRow.expires_at > now, not_idle, SessionRow.auth_epoch == User.auth_epoch)
    async with world.db.query() as tx:
        return await read_page(tx, _of_users.where(SessionRow.user_id == user_id, *live), SessionRow.id, window)


async def list_for_operator(world: World, user_id: UUID, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    """List a user's live sessions for an operator. Raises UserNotFound."""
    await get_user(world, user_id)
    return await list_sessions(world, user_id, window)
