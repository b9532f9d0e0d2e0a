"""Wire shapes of logging in."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from app.login.account.creation import InitialPassword
from app.login.fields import Code, HiddenPassword, LoginDeviceIn, Password, SessionSummary
from app.login.rules import RequiredStep
from app.login.sessions.tokens import IssuedTokens
from app.login.signing_in.pending import LoginChallenge
from app.users.schemas import ProfileIn
from app.web.fields import Flag, Instant, Name, Secret, Slug, WireModel


class UserIn(ProfileIn):
    """`password`: at least 15 characters and not among the first guesses; nothing else is asked of it.

    `password_hash` in its place: argon2, bcrypt, pbkdf2, scrypt, Django's or phpass; it is made anew at the next login.
    """

    password: Password | None = None
    password_hash: Annotated[Secret, Field(max_length=1024)] | None = None
    password_change_required: Flag = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.password is not None and self.password_hash is not None:
            raise ValueError("wants a password or a hash of one, not both")
        return self

    def profile(self) -> dict[str, Any]:
        values = self.model_dump(exclude={"password", "password_hash", "password_change_required"})
        return values | {"preferences": self.preferences.stored()}

    def credential(self) -> InitialPassword:
        return InitialPassword(self.password, self.password_hash, self.password_change_required)


class LoginIn(WireModel):
    """`product`: what the login is for; if that wants a second factor and the user has none, the login goes on by setting one up."""

    identifier: Annotated[Secret, Field(max_length=320)]
    password: Password
    totp: Code | None = None
    product: Slug | None = None
    device: LoginDeviceIn | None = None


class LoginCodeIn(WireModel):
    """`code` as it was mailed; dashes, spaces and case do not matter."""

    identifier: Annotated[Secret, Field(max_length=320)]
    code: Code
    product: Slug | None = None
    device: LoginDeviceIn | None = None


class LoginCodeMailed(WireModel):
    """To whom and when; never what."""

    status: Literal["mailed"] = "mailed"
    expires_at: Instant


class NewPasswordIn(WireModel):
    new: HiddenPassword


class RefreshIn(WireModel):
    refresh_token: Annotated[Secret, Field(max_length=128)]


class StepUpIn(WireModel):
    """`aal2p` is `aal2` by a passkey. `max_age` in seconds (RFC 9470): always met, for a step-up asks for the factor anew."""

    acr: Literal["aal2", "aal2p"] = "aal2"
    max_age: Annotated[int, Field(strict=True, ge=0, le=86_400)] | None = None


class TotpIn(WireModel):
    name: Name | None = None


class Action(WireModel):
    action: str
    href: str


class Step(WireModel):
    """Any one of the actions meets the need."""

    need: str
    any_of: list[Action]


HREFS = {
    "verify_totp": "/v1/login/totp",
    "verify_passkey": "/v1/login/passkey/options",
    "use_recovery_code": "/v1/login/recovery-code",
    "enroll_totp": "/v1/login/totp/enroll",
    "enroll_passkey": "/v1/login/passkey/enroll",
    "change_password": "/v1/login/password",
}
"""Where each way is begun. Told only after the first factor has passed, so that nothing can be probed with it (authentication R52)."""


NEEDS = {RequiredStep.ENROLMENT: RequiredStep.SECOND_FACTOR}
"""What is wanted, where it is told by another name: to set a second factor up is a way to have one."""


class Handle(WireModel):
    """`token` is null when the state of a login is asked for: it was shown when it was made."""

    token: str | None
    expires_at: Instant


class LoginIncomplete(WireModel):
    """All entries of `next` must be met; any one action of an entry will do."""

    status: Literal["incomplete"] = "incomplete"
    login: Handle
    done: list[str]
    next: list[Step]
    recovery_codes: list[str] | None = None

    @classmethod
    def of(cls, it: LoginChallenge) -> Self:
        handle = Handle(token=it.token, expires_at=it.expires_at)
        step = Step(
            need=NEEDS.get(it.next_step.need, it.next_step.need), any_of=[Action(action=way, href=HREFS[way]) for way in it.next_step.ways]
        )
        return cls(login=handle, done=list(it.done), next=[step], recovery_codes=it.recovery_codes)


class LoginComplete(WireModel):
    """`expires_in` and `refresh_expires_in` are in seconds. `recovery_codes` are shown once, when a login has set an authenticator up."""

    status: Literal["complete"] = "complete"
    session: SessionSummary
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  RFC 6750, a scheme
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    next: list[Step] = []
    recovery_codes: list[str] | None = None

    @classmethod
    def of(cls, it: IssuedTokens) -> Self:
        return cls(
            session=SessionSummary(id=it.id, acr=it.acr, amr=it.amr, auth_time=it.auth_time, expires_at=it.expires_at),
            access_token=it.access_token,
            expires_in=it.expires_in,
            refresh_token=it.refresh_token,
            refresh_expires_in=it.refresh_expires_in,
            recovery_codes=it.recovery_codes,
        )


class EnrolmentOut(WireModel):
    """`secret` is base32 and shown this once; `qr_svg` draws `otpauth_uri`."""

    id: UUID
    secret: str
    otpauth_uri: str
    qr_svg: str
    expires_at: Instant
