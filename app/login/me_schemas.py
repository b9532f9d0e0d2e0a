"""Wire models of `/v1/me` and of token introspection."""

from typing import Any, Literal, Self
from uuid import UUID

from app.db.types import AnyRow
from app.login.fields import HiddenPassword, SessionSummary
from app.login.rules import AssuranceLevel
from app.login.sessions import service as sessions
from app.users.schemas import UserOut
from app.web.fields import Instant, Secret, WireModel


class MeOut(WireModel):
    """The end user and the current session."""

    user: UserOut
    session: SessionSummary

    @classmethod
    def of(cls, row: AnyRow, acr: AssuranceLevel) -> Self:
        auth_time = sessions.read_proofs(row).latest or row.opened_at
        session = SessionSummary(id=row.session_id, acr=acr, amr=row.amr, auth_time=auth_time, expires_at=row.session_expires_at)
        return cls(user=UserOut.of(row), session=session)


class SessionOut(WireModel):
    """`current`: the session of this request. `idle_expires_at`: when it ends unless it is refreshed."""

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
        values: dict[str, Any] = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        return cls(**values, acr=acr, current=row.id == current, auth_time=sessions.read_proofs(row).latest or row.created_at)


class PasswordChangeIn(WireModel):
    """The current password and the new one."""

    current: HiddenPassword
    new: HiddenPassword


class IntrospectIn(WireModel):
    """The token to inspect."""

    token: Secret
    token_type_hint: Literal["access_token", "refresh_token"] | None = None


class Introspection(WireModel):
    """RFC 7662 section 2.2. An invalid token yields only `active: false`."""

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
