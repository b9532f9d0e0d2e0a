"""Pure decisions about authentication: TOTP time steps, assurance levels, and the next step of a login."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, TypeAlias

import pyotp
from pyotp.exceptions import OTPVerificationError

PERIOD = 30
"""Seconds of a TOTP time step."""
AssuranceLevel: TypeAlias = Literal["aal1", "aal2"]
ApprovalLevel: TypeAlias = Literal["aal1", "aal2", "aal2p"]
PASSKEY_LEVEL: Literal["aal2p"] = "aal2p"
"""A step-up target above `aal2`: a passkey with user verification, which resists phishing."""
_CODE = re.compile(r"[0-9]{6}", re.ASCII)


def find_time_step(secret: str, code: str, now: datetime, skew: int) -> int | None:
    """Return the RFC 6238 time step of a code, at most `skew` steps from `now`; None if no step fits.

    Callers refuse a step that was accepted before, however the code was typed (authentication R16).
    """
    digits = code.replace(" ", "")
    if not _CODE.fullmatch(digits):
        return None
    try:
        return pyotp.TOTP(secret, interval=PERIOD).verify_and_get_timecode(digits, for_time=now, valid_window=skew)
    except OTPVerificationError:
        return None


@dataclass(frozen=True)
class Proofs:
    """When each factor was last used in a session.

    `second_factor`: `otp`, `rc` (recovery code), `hwk` or `swk` (passkey). `passkey_at`: when a passkey last verified its user, which
    also counts as a second factor. `key`: the kind of that passkey (RFC 8176).
    """

    password_at: datetime | None
    second_factor_at: datetime | None
    second_factor: str | None = "otp"
    passkey_at: datetime | None = None
    key: str = "hwk"

    @property
    def latest(self) -> datetime | None:
        """The latest proof: OpenID Connect's `auth_time` (Core section 2), which RFC 9470's `max_age` is compared with."""
        return max((moment for moment in (self.password_at, self.second_factor_at) if moment is not None), default=None)

    @property
    def amr(self) -> list[str]:
        """Authentication methods (RFC 8176, plus our `rc`). A passkey that verified its user counts as two factors."""
        methods = ["pwd"] if self.password_at is not None else []
        if self.passkey_at is not None:
            methods += [self.key, "user"]
        if self.second_factor_at is None:
            return methods
        return [*methods, *({self.second_factor or "otp"} - {*methods}), "mfa"]


def compute_acr(proofs: Proofs, now: datetime, lifetime: timedelta) -> AssuranceLevel:
    """Return `aal2` while the second factor is recent, else `aal1`: assurance expires, the session does not (authentication R56)."""
    proven_at = proofs.second_factor_at
    return "aal2" if proven_at is not None and now < proven_at + lifetime else "aal1"


def is_fresh(proven_at: datetime | None, now: datetime, age: timedelta) -> bool:
    """Report whether a proof is at most `age` old. A later timestamp is not fresh either: the clock was set back."""
    return proven_at is not None and abs(now - proven_at) <= age


class RequiredStep(StrEnum):
    """The next step of a login. `ENROLMENT`: set up a second factor first. `PASSKEY`: use a passkey that verifies its user."""

    SECOND_FACTOR = "second_factor"
    PASSKEY = "passkey"
    ENROLMENT = "enrolment"
    NEW_PASSWORD = "new_password"  # noqa: S105  a step, not a password


@dataclass(frozen=True)
class AccountState:
    """The facts that decide which steps a login takes.

    `has_second_factor` can be true without a usable one: a suspect passkey leaves only the recovery codes.
    """

    has_second_factor: bool
    has_totp: bool
    has_passkey: bool
    needs_second_factor: bool
    needs_passkey: bool
    passkeys_enabled: bool
    must_change_password: bool


def list_actions(account: AccountState, step: RequiredStep) -> tuple[str, ...]:
    """List the actions that complete a step, the preferred one first; any one is enough."""
    if step is RequiredStep.SECOND_FACTOR:
        choices = [("verify_totp", account.has_totp), ("verify_passkey", account.has_passkey)]
        if account.needs_passkey:
            choices.reverse()
        return (*(action for action, is_available in choices if is_available), "use_recovery_code")
    if step is RequiredStep.ENROLMENT and account.passkeys_enabled:
        return ("enroll_passkey",) if account.needs_passkey else ("enroll_totp", "enroll_passkey")
    return {
        RequiredStep.PASSKEY: ("verify_passkey",),
        RequiredStep.ENROLMENT: ("enroll_totp",),
        RequiredStep.NEW_PASSWORD: ("change_password",),
    }[step]


def find_next_step(account: AccountState, proofs: Proofs, *, step_up: bool, level: str | None = None) -> RequiredStep | None:
    """Return the next step, or None when the login is complete. A new password is the last step, after all existing factors were used.

    A login without a password began with a mailed code, which proves only the mailbox: it always requires a new password, and no factor
    can be set up before that (authentication R78, R79). `level`: the target of a step-up; `aal2p` allows only a passkey.
    """
    is_recovery = proofs.password_at is None and not step_up
    if is_recovery and (proofs.second_factor_at is not None or not account.has_second_factor):
        return RequiredStep.NEW_PASSWORD
    if proofs.second_factor_at is None:
        if account.has_second_factor or step_up:
            return RequiredStep.PASSKEY if level == PASSKEY_LEVEL else RequiredStep.SECOND_FACTOR
        if account.needs_second_factor:
            return RequiredStep.ENROLMENT
    return RequiredStep.NEW_PASSWORD if account.must_change_password and not step_up else None


RECOVERY_WINDOW = timedelta(minutes=10)
"""How long a session opened with a recovery code may manage factors (authentication R28)."""


def find_level_to_prove(proofs: Proofs, *, has_second_factor: bool, now: datetime, age: timedelta) -> AssuranceLevel | None:
    """Return the level to prove again before factors can be managed; None if it was proven within `age` (authentication R21, R22).

    A recovery code allows this for ten minutes, because it is meant for a lost authenticator (authentication R28).
    """
    if not has_second_factor:
        return None if is_fresh(proofs.password_at, now, age) else "aal1"
    max_age = max(age, RECOVERY_WINDOW) if proofs.second_factor == "rc" else age
    return None if is_fresh(proofs.second_factor_at, now, max_age) else "aal2"


def is_fully_authenticated(proofs: Proofs, *, has_second_factor: bool, now: datetime, lifetime: timedelta) -> bool:
    """Report whether the session may do sensitive things.

    That needs the account's highest level, reached without a recovery code (authentication R28).
    """
    return not has_second_factor or (proofs.second_factor != "rc" and compute_acr(proofs, now, lifetime) == "aal2")


def find_approval_level(account: AccountState) -> ApprovalLevel:
    """Return the level that a session needs to approve a device grant.

    An account with a second factor always needs it (authentication R66).
    """
    if account.needs_passkey:
        return PASSKEY_LEVEL
    return "aal2" if account.has_second_factor or account.needs_second_factor else "aal1"


def find_approval_step(account: AccountState, proofs: Proofs) -> RequiredStep | None:
    """Return the step that an approving session still needs, or None. `proofs` must be unexpired (see `drop_expired`)."""
    if account.needs_passkey and proofs.passkey_at is None:
        return RequiredStep.PASSKEY if account.has_passkey else RequiredStep.ENROLMENT
    if find_approval_level(account) == "aal1" or proofs.second_factor_at is not None:
        return None
    return RequiredStep.SECOND_FACTOR if account.has_second_factor else RequiredStep.ENROLMENT


def drop_expired(proofs: Proofs, now: datetime, age: timedelta) -> Proofs:
    """Return the proofs without second factors older than `age`: they no longer approve anything (authentication R56)."""

    def drop(proven_at: datetime | None) -> datetime | None:
        return proven_at if proven_at is not None and now < proven_at + age else None

    return replace(proofs, second_factor_at=drop(proofs.second_factor_at), passkey_at=drop(proofs.passkey_at))
