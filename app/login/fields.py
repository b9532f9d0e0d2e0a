"""Wire fields shared by the login packages."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from app.login.rules import AssuranceLevel
from app.security.passwords import MAX_BYTES, MAX_CODE_POINTS, is_too_long
from app.web.fields import Instant, Line, Name, Secret, WireModel


def _check_length(password: str) -> str:
    if is_too_long(password):
        raise ValueError(f"must have at most {MAX_CODE_POINTS} characters and {MAX_BYTES} bytes")
    return password


Password = Annotated[Secret, Field(max_length=MAX_CODE_POINTS), AfterValidator(_check_length)]
HiddenPassword = Annotated[Password, Field(repr=False)]
"""A password in a field whose name does not reveal that it is secret."""
Code = Annotated[Secret, Field(max_length=32)]
"""A code as typed. Malformed input is refused like a wrong code."""


class LoginDeviceIn(WireModel):
    """The user's machine, as shown in the list of sessions. Wrong passwords from elsewhere do not lock out a known device."""

    fingerprint: Line
    name: Name | None = None
    platform: Name | None = None
    app_version: Name | None = None


class SecondFactorCodeIn(WireModel):
    """A code from an authenticator app, or a recovery code."""

    code: Code


class SessionSummary(WireModel):
    """`acr` falls from `aal2` to `aal1` when the second factor is no longer recent; the session continues."""

    id: UUID
    acr: AssuranceLevel
    amr: list[str]
    auth_time: Instant
    expires_at: Instant
