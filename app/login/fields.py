"""Wire fields that several login packages share."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from app.login.rules import AssuranceLevel
from app.security.passwords import MAX_BYTES, MAX_CODE_POINTS, is_too_long
from app.web.fields import Instant, Line, Name, Secret, WireModel


def _bounded(password: str) -> str:
    if is_too_long(password):
        raise ValueError(f"wants at most {MAX_CODE_POINTS} characters and {MAX_BYTES} bytes")
    return password


Password = Annotated[Secret, Field(max_length=MAX_CODE_POINTS), AfterValidator(_bounded)]


HiddenPassword = Annotated[Password, Field(repr=False)]
"""For fields whose name does not say that they are secret."""


Code = Annotated[Secret, Field(max_length=32)]
"""Digits as the authenticator app shows them; what is not a code is refused like a wrong one."""


class LoginDeviceIn(WireModel):
    """What the user will recognise in the list of sessions. A device seen before is not locked out by strangers' guesses."""

    fingerprint: Line
    name: Name | None = None
    platform: Name | None = None
    app_version: Name | None = None


class CodeIn(WireModel):
    code: Code


class SessionSummary(WireModel):
    """`acr` falls from `aal2` to `aal1` when the second factor is no longer fresh; the session lives on."""

    id: UUID
    acr: AssuranceLevel
    amr: list[str]
    auth_time: Instant
    expires_at: Instant
