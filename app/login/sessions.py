"""Sessions and the access tokens that speak for them. A token is for others to read; we always look at the row (R60)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, insert, select, update

from app.base.signing import NotOurs, Signer
from app.db.base import table
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import record
from app.login import rules
from app.login.models import SessionRow
from app.login.rules import Level, Proofs
from app.login.totp import OWNED
from app.signing_keys.service import signer
from app.users.models import Status, User
from app.web.callers import EndUser, Origin, Subject
from app.web.problems import TokenInvalid
from app.world import World

TOKEN_TYPE = "at+jwt"  # noqa: S105  RFC 9068 section 2.1, a media type
AUDIENCE = "licentia"
_STRONG = ["pwd", "otp", "mfa"]

_session = (
    select(
        *table(User).columns,
        SessionRow.id.label("session_id"),
        SessionRow.amr,
        SessionRow.password_at,
        SessionRow.second_factor_at,
        SessionRow.created_at.label("auth_time"),
        SessionRow.expires_at.label("session_expires_at"),
        SessionRow.revoked_at,
        OWNED.label("has_second_factor"),
    )
    .join(User, User.id == SessionRow.user_id)
    .where(SessionRow.id == bindparam("session_id", type_=Uuid), User.id == bindparam("user_id", type_=Uuid))
)


@dataclass(frozen=True)
class Opened:
    """A session as it stands after a login or a step-up, with a fresh access token for it."""

    id: UUID
    acr: Level
    amr: list[str]
    auth_time: datetime
    expires_at: datetime
    access_token: str = field(repr=False)


async def open_session(session: Session, world: World, sign: Signer, origin: Origin, user_id: UUID, proofs: Proofs) -> Opened:
    """A new session for a login that is complete."""
    now, session_id = world.clock.now(), world.entropy.identifier()
    amr = _STRONG if proofs.second_factor_at else ["pwd"]
    row: dict[str, Any] = {
        "id": session_id,
        "user_id": user_id,
        "amr": amr,
        "password_at": proofs.password_at,
        "second_factor_at": proofs.second_factor_at,
        "ip": origin.ip,
        "user_agent": origin.user_agent,
        "created_at": now,
        "expires_at": now + world.settings.session_lifetime,
    }
    await session.execute(insert(SessionRow).values(row))
    await record(session, world, "session.opened", EndUser(user_id, session_id).actor, ("session", session_id), user_id, amr=amr)
    return _opened(world, sign, row)


async def raise_session(session: Session, world: World, sign: Signer, user_id: UUID, session_id: UUID) -> Opened | None:
    """The same session with a second factor just shown; None if it was revoked meanwhile."""
    now = world.clock.now()
    alive = (SessionRow.id == session_id, SessionRow.revoked_at.is_(None), SessionRow.expires_at > now)
    raised = update(SessionRow).where(*alive).values(amr=_STRONG, second_factor_at=now).returning(*table(SessionRow).columns)
    row = (await session.execute(raised)).one_or_none()
    if row is None:
        return None
    await record(session, world, "session.stepped_up", EndUser(user_id, session_id).actor, ("session", session_id), user_id)
    return _opened(world, sign, dict(row._mapping))


def _opened(world: World, sign: Signer, row: Mapping[str, Any]) -> Opened:
    """The session's row with a fresh access token (RFC 9068 section 2.2)."""
    now = world.clock.now()
    acr = rules.acr(Proofs(row["password_at"], row["second_factor_at"]), now, world.settings.second_factor_lifetime)
    claims = {
        "iss": world.settings.public_url,
        "aud": AUDIENCE,
        "sub": str(row["user_id"]),
        "sid": str(row["id"]),
        "client_id": AUDIENCE,
        "jti": str(world.entropy.identifier()),
        "iat": int(now.timestamp()),
        "exp": int((now + world.settings.access_lifetime).timestamp()),
        "auth_time": int(row["created_at"].timestamp()),
        "acr": acr,
        "amr": row["amr"],
    }
    return Opened(row["id"], acr, row["amr"], row["created_at"], row["expires_at"], sign.sign(TOKEN_TYPE, claims))


async def token_holder(world: World, token: str) -> EndUser:
    """Whom a signed, unexpired access token of ours names (RFC 9068 section 4). Raises TokenInvalid."""
    try:
        claims = (await signer(world)).read(TOKEN_TYPE, token)
        good = (
            claims["iss"] == world.settings.public_url
            and claims["aud"] == AUDIENCE
            and claims["iat"] <= claims["exp"]
            and world.clock.now().timestamp() < claims["exp"]
        )
        if good:
            return EndUser(UUID(claims["sub"]), UUID(claims["sid"]))
    except (NotOurs, KeyError, TypeError, ValueError, AttributeError):
        pass
    raise TokenInvalid("Log in again, or send the newest access token.")


async def row_of(session: Session, holder: EndUser) -> AnyRow | None:
    """The user's and the session's columns together; None when there is no such session of this user."""
    return (await session.execute(_session, _named(holder))).one_or_none()


def _named(holder: EndUser) -> Mapping[str, Any]:
    return {"session_id": holder.session_id, "user_id": holder.id}


def alive(row: AnyRow | None, now: datetime) -> bool:
    """Whether the session is neither revoked nor over."""
    return row is not None and row.revoked_at is None and now < row.session_expires_at


async def look_up(world: World, holder: EndUser) -> AnyRow:
    """The row of a session that lives, of an account that is open. One statement. Raises TokenInvalid."""
    row = await world.db.one(_session, _named(holder))
    if row is None or not alive(row, world.clock.now()) or row.status != Status.ACTIVE:
        raise TokenInvalid("The session is over; log in again.")
    return row


async def subject(world: World, holder: EndUser) -> Subject:
    row = await look_up(world, holder)
    return Subject(
        id=holder.id,
        session_id=holder.session_id,
        amr=tuple(row.amr),
        auth_time=row.auth_time,
        second_factor_at=row.second_factor_at,
        password_at=row.password_at,
        email_verified=row.email_verified_at is not None,
        has_second_factor=row.has_second_factor,
    )


async def log_out(world: World, holder: EndUser) -> None:
    """Revoke the session. Doing it again changes nothing."""
    async with world.db.write() as session:
        still = update(SessionRow).where(
            SessionRow.id == holder.session_id, SessionRow.user_id == holder.id, SessionRow.revoked_at.is_(None)
        )
        if (await session.execute(still.values(revoked_at=world.clock.now()))).rowcount:
            await record(session, world, "session.revoked", holder.actor, ("session", holder.session_id), holder.id)
