"""Wire shapes of logging in."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field

from app.base.passwords import MAX_CODE_POINTS, MAX_OCTETS, too_long
from app.login.rules import Level
from app.login.service import Incomplete
from app.login.sessions import Opened
from app.users.schemas import ProfileIn, UserOut
from app.web.shapes import Instant, Name, Secret, Shape


def _bounded(password: str) -> str:
    if too_long(password):
        raise ValueError(f"wants at most {MAX_CODE_POINTS} characters and {MAX_OCTETS} bytes")
    return password


Password = Annotated[Secret, Field(max_length=MAX_CODE_POINTS), AfterValidator(_bounded)]
Code = Annotated[Secret, Field(max_length=32)]
"""Digits as the authenticator app shows them; what is not a code is refused like a wrong one."""


class UserIn(ProfileIn):
    """`password`: at least 15 characters; nothing else is asked of it."""

    password: Password | None = None


class LoginIn(Shape):
    identifier: Annotated[Secret, Field(max_length=320)]
    password: Password
    totp: Code | None = None


class CodeIn(Shape):
    code: Code


class StepUpIn(Shape):
    """`max_age` in seconds (RFC 9470): always met, for a step-up asks for the second factor anew."""

    acr: Literal["aal2"] = "aal2"
    max_age: Annotated[int, Field(strict=True, ge=0, le=86_400)] | None = None


class TotpIn(Shape):
    name: Name | None = None


class Action(Shape):
    action: str
    href: str


class Step(Shape):
    """Any one of the actions meets the need."""

    need: str
    any_of: list[Action]


NEXT = [Step(need="second_factor", any_of=[Action(action="verify_totp", href="/v1/login/totp")])]
"""A constant of the configuration, so that nothing can be probed with it (R52)."""


class Handle(Shape):
    """`token` is null when the state of a login is asked for: it was shown when it was made."""

    token: str | None
    expires_at: Instant


class LoginIncomplete(Shape):
    """All entries of `next` must be met; any one action of an entry will do."""

    status: Literal["incomplete"] = "incomplete"
    login: Handle
    done: list[str]
    next: list[Step]

    @classmethod
    def of(cls, it: Incomplete) -> Self:
        return cls(login=Handle(token=it.token, expires_at=it.expires_at), done=list(it.done), next=NEXT)


class SessionFace(Shape):
    """`acr` falls from `aal2` to `aal1` when the second factor is no longer fresh; the session lives on."""

    id: UUID
    acr: Level
    amr: list[str]
    auth_time: Instant
    expires_at: Instant


class LoginComplete(Shape):
    """`expires_in` is in seconds and belongs to the access token."""

    status: Literal["complete"] = "complete"
    session: SessionFace
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  RFC 6750, a scheme
    expires_in: int
    next: list[Step] = []

    @classmethod
    def of(cls, it: Opened, expires_in: int) -> Self:
        face = SessionFace(id=it.id, acr=it.acr, amr=it.amr, auth_time=it.auth_time, expires_at=it.expires_at)
        return cls(session=face, access_token=it.access_token, expires_in=expires_in)


class EnrolmentOut(Shape):
    """`secret` is base32 and shown this once; `qr_svg` draws `otpauth_uri`."""

    id: UUID
    secret: str
    otpauth_uri: str
    qr_svg: str
    expires_at: Instant


class FactorOut(Shape):
    id: UUID
    kind: Literal["totp"]
    state: Literal["active"]
    confirmed_at: Instant


class Me(Shape):
    """The end user and the session that asks."""

    user: UserOut
    session: SessionFace
