"""Wire models of login."""

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
    """`password`: at least 15 characters, not a common password, no other rules.

    `password_hash` instead: argon2, bcrypt, pbkdf2, scrypt, Django's formats or phpass; it is replaced by our own hash at the next login.
    """

    password: Password | None = None
    password_hash: Annotated[Secret, Field(max_length=1024)] | None = None
    password_change_required: Flag = False

    @model_validator(mode="after")
    def _check_one_secret(self) -> Self:
        if self.password is not None and self.password_hash is not None:
            raise ValueError("must have `password` or `password_hash`, not both")
        return self

    def to_profile(self) -> dict[str, Any]:
        values = self.model_dump(exclude={"password", "password_hash", "password_change_required"})
        return values | {"preferences": self.preferences.dump()}

    def to_initial_password(self) -> InitialPassword:
        return InitialPassword(self.password, self.password_hash, self.password_change_required)


class LoginIn(WireModel):
    """`product`: the product to log in to. If it requires a second factor and the user has none, the login continues by setting one up."""

    identifier: Annotated[Secret, Field(max_length=320)]
    password: Password
    totp: Code | None = None
    product: Slug | None = None
    device: LoginDeviceIn | None = None


class LoginCodeIn(WireModel):
    """`code`: the mailed code; dashes, spaces and case are ignored."""

    identifier: Annotated[Secret, Field(max_length=320)]
    code: Code
    product: Slug | None = None
    device: LoginDeviceIn | None = None


class LoginCodeMailed(WireModel):
    """A code was mailed; it is valid until `expires_at`."""

    status: Literal["mailed"] = "mailed"
    expires_at: Instant


class NewPasswordIn(WireModel):
    """The new password."""

    new: HiddenPassword


class RefreshIn(WireModel):
    """The refresh token to exchange."""

    refresh_token: Annotated[Secret, Field(max_length=128)]


class StepUpIn(WireModel):
    """`aal2p` is `aal2` by a passkey. `max_age` in seconds (RFC 9470) is always met, because a step-up always requires a new proof."""

    acr: Literal["aal2", "aal2p"] = "aal2"
    max_age: Annotated[int, Field(strict=True, ge=0, le=86_400)] | None = None


class TotpIn(WireModel):
    """`name`: how the user will recognise the authenticator app in the list of factors."""

    name: Name | None = None


class LoginAction(WireModel):
    """One way to complete a step, and the path where it begins."""

    action: str
    href: str


class LoginStep(WireModel):
    """A required step; any one of its actions completes it."""

    need: str
    any_of: list[LoginAction]


HREFS = {
    "verify_totp": "/v1/login/totp",
    "verify_passkey": "/v1/login/passkey/options",
    "use_recovery_code": "/v1/login/recovery-code",
    "enroll_totp": "/v1/login/totp/enroll",
    "enroll_passkey": "/v1/login/passkey/enroll",
    "change_password": "/v1/login/password",
}
"""Where each action begins. Returned only after the first factor was proven, so that accounts cannot be probed (authentication R52)."""


STEP_NAMES = {RequiredStep.ENROLMENT: RequiredStep.SECOND_FACTOR}
"""Steps that have another name in responses: setting up a second factor is one way to provide it."""


class LoginHandle(WireModel):
    """`token` is null unless this response created the login."""

    token: str | None
    expires_at: Instant


class LoginIncomplete(WireModel):
    """All steps in `next` must be completed; any one action of a step is enough."""

    status: Literal["incomplete"] = "incomplete"
    login: LoginHandle
    done: list[str]
    next: list[LoginStep]
    recovery_codes: list[str] | None = None

    @classmethod
    def of(cls, challenge: LoginChallenge) -> Self:
        handle = LoginHandle(token=challenge.token, expires_at=challenge.expires_at)
        step = LoginStep(
            need=STEP_NAMES.get(challenge.next_step.name, challenge.next_step.name),
            any_of=[LoginAction(action=action, href=HREFS[action]) for action in challenge.next_step.actions],
        )
        return cls(login=handle, done=list(challenge.completed_steps), next=[step], recovery_codes=challenge.recovery_codes)


class LoginComplete(WireModel):
    """`expires_in` and `refresh_expires_in`: seconds. `recovery_codes`: returned once, if this login set up the first second factor."""

    status: Literal["complete"] = "complete"
    session: SessionSummary
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  RFC 6750, a scheme
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    next: list[LoginStep] = []
    recovery_codes: list[str] | None = None

    @classmethod
    def of(cls, tokens: IssuedTokens) -> Self:
        return cls(
            session=SessionSummary(id=tokens.id, acr=tokens.acr, amr=tokens.amr, auth_time=tokens.auth_time, expires_at=tokens.expires_at),
            access_token=tokens.access_token,
            expires_in=tokens.expires_in,
            refresh_token=tokens.refresh_token,
            refresh_expires_in=tokens.refresh_expires_in,
            recovery_codes=tokens.recovery_codes,
        )


class EnrolmentOut(WireModel):
    """`secret` is base32 and returned only once; `qr_svg` is a QR code of `otpauth_uri`."""

    id: UUID
    secret: str
    otpauth_uri: str
    qr_svg: str
    expires_at: Instant
