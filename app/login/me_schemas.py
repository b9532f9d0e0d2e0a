"""Wire shapes of one's own account: the session that asks, all sessions, factors, recovery codes; and of introspection."""

from typing import Any, Literal, Self
from uuid import UUID

from app.db.types import AnyRow
from app.login.fields import HiddenPassword, SessionSummary
from app.login.rules import AssuranceLevel
from app.login.sessions import service as sessions
from app.users.schemas import UserOut
from app.web.fields import Instant, Secret, WireModel


class Me(WireModel):
    """The end user and the session that asks."""

    user: UserOut
    session: SessionSummary

    @classmethod
    def of(cls, row: AnyRow, acr: AssuranceLevel) -> Self:
        auth_time = sessions.read_proofs(row).latest or row.opened_at
        face = SessionSummary(id=row.session_id, acr=acr, amr=row.amr, auth_time=auth_time, expires_at=row.session_expires_at)
        return cls(user=UserOut.of(row), session=face)


class SessionOut(WireModel):
    """`current`: it is this session that asks. `idle_expires_at`: when it ends unless it is refreshed before."""

    id: UUID
    current: bool
    acr: AssuranceLevel
    amr: list[str]
    auth_time: Instant
    last_seen_at: Instant | None
    idle_expires_at: Instant | None
    expires_at: Instant
    ip: str | None
    user_agent: str | None
    product: str | None
    device: dict[str, str | None] | None

    @classmethod
    def of(cls, row: AnyRow, acr: AssuranceLevel, current: UUID | None = None) -> Self:
        told: dict[str, Any] = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        return cls(**told, acr=acr, current=row.id == current, auth_time=sessions.read_proofs(row).latest or row.created_at)


class PasswordIn(WireModel):
    current: HiddenPassword
    new: HiddenPassword


class IntrospectIn(WireModel):
    token: Secret
    token_type_hint: Literal["access_token", "refresh_token"] | None = None


class Introspection(WireModel):
    """RFC 7662 section 2.2. Of a token that is not good, `active: false` is all that is told."""

    active: bool
    iss: str | None = None
    aud: str | None = None
    sub: str | None = None
    sid: str | None = None
    client_id: str | None = None
    token_type: str | None = None
    jti: str | None = None
    iat: int | None = None
    exp: int | None = None
    auth_time: int | None = None
    acr: AssuranceLevel | None = None
    amr: list[str] | None = None
