"""Pure judgements of authentication: which time step a code belongs to, how sure a session is, what comes next."""

import hmac
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, TypeAlias

import pyotp

PERIOD = 30
AssuranceLevel: TypeAlias = Literal["aal1", "aal2"]
ApprovalLevel: TypeAlias = Literal["aal1", "aal2", "aal2p"]
PASSKEY_LEVEL: Literal["aal2p"] = "aal2p"
"""What a step-up can be asked for beside the levels: `aal2` by a passkey that verifies its user, which no page can phish."""
_CODE = re.compile(r"[0-9]{6}", re.ASCII)


def find_time_step(secret: str, code: str, now: datetime, skew: int) -> int | None:
    """The RFC 6238 time step that the code belongs to, within `skew` steps of `now`; None when it fits none.

    The step, not the text, is what must never be accepted twice (authentication R16). Every candidate is compared, in constant time.
    """
    bare = code.replace(" ", "")
    if not _CODE.fullmatch(bare):
        return None
    current, totp = int(now.timestamp()) // PERIOD, pyotp.TOTP(secret)
    fits = [
        step for step in range(current - skew, current + skew + 1) if hmac.compare_digest(totp.generate_otp(step).encode(), bare.encode())
    ]
    return fits[0] if fits else None


@dataclass(frozen=True)
class Proofs:
    """When each factor was last shown in this session, and which second one: `otp`, `rc` for a recovery code, `hwk` or `swk` for a key.

    `passkey_at`: when a passkey last verified its user, which is a second factor as well; `key` is what it was (RFC 8176).
    """

    password_at: datetime | None
    second_factor_at: datetime | None
    second_factor: str | None = "otp"
    passkey_at: datetime | None = None
    key: str = "hwk"

    @property
    def latest(self) -> datetime | None:
        """When something was last shown: the `auth_time` of OpenID Connect Core section 2, which RFC 9470's `max_age` is held against."""
        return max((at for at in (self.password_at, self.second_factor_at) if at is not None), default=None)

    @property
    def amr(self) -> list[str]:
        """Authentication methods (RFC 8176, and `rc` of our own). A passkey that verified its user is two factors at once."""
        methods = ["pwd"] if self.password_at is not None else []
        if self.passkey_at is not None:
            methods += [self.key, "user"]
        if self.second_factor_at is None:
            return methods
        return [*methods, *({self.second_factor or "otp"} - {*methods}), "mfa"]


def compute_acr(proofs: Proofs, now: datetime, lasting: timedelta) -> AssuranceLevel:
    """`aal2` while the second factor is fresh, else `aal1`: assurance decays, the session lives on (authentication R56)."""
    at = proofs.second_factor_at
    return "aal2" if at is not None and now < at + lasting else "aal1"


def is_fresh(at: datetime | None, now: datetime, age: timedelta) -> bool:
    """Whether something was proven at most `age` ago. What lies further ahead is from before the clock was set back: of no known age."""
    return at is not None and abs(now - at) <= age


class RequiredStep(StrEnum):
    """What a login still wants. `ENROLMENT` is a second factor that has to be set up first; `PASSKEY` one that verifies its user."""

    SECOND_FACTOR = "second_factor"
    PASSKEY = "passkey"
    ENROLMENT = "enrolment"
    NEW_PASSWORD = "new_password"  # noqa: S105  a step, not a password


@dataclass(frozen=True)
class AccountState:
    """What decides which steps a login takes: what the user has, and what this login must have.

    A user can have a second factor without one that works: a passkey that is suspect leaves the recovery codes.
    """

    has_second_factor: bool
    has_totp: bool
    has_passkey: bool
    wants_second_factor: bool
    wants_passkey: bool
    takes_passkeys: bool
    must_change_password: bool


def list_actions(account: AccountState, wanted: RequiredStep) -> tuple[str, ...]:
    """How what is wanted can be met, the best way first: any one will do."""
    if wanted is RequiredStep.SECOND_FACTOR:
        had = [("verify_totp", account.has_totp), ("verify_passkey", account.has_passkey)]
        if account.wants_passkey:
            had.reverse()
        return (*(way for way, has in had if has), "use_recovery_code")
    if wanted is RequiredStep.ENROLMENT and account.takes_passkeys:
        return ("enroll_passkey",) if account.wants_passkey else ("enroll_totp", "enroll_passkey")
    return {
        RequiredStep.PASSKEY: ("verify_passkey",),
        RequiredStep.ENROLMENT: ("enroll_totp",),
        RequiredStep.NEW_PASSWORD: ("change_password",),
    }[wanted]


def find_next_step(account: AccountState, proofs: Proofs, *, step_up: bool, level: str | None = None) -> RequiredStep | None:
    """What comes next; None when the login is complete. A password is changed only by who has shown all that there is.

    A login without a password began with a mailed code, which proves the mailbox alone: it always wants a new password, and
    before that no factor can be set up (authentication R78, R79). `level`: what a step-up is for, `aal2p` for a passkey alone.
    """
    recovers = proofs.password_at is None and not step_up
    if recovers and (proofs.second_factor_at is not None or not account.has_second_factor):
        return RequiredStep.NEW_PASSWORD
    if proofs.second_factor_at is None:
        if account.has_second_factor or step_up:
            return RequiredStep.PASSKEY if level == PASSKEY_LEVEL else RequiredStep.SECOND_FACTOR
        if account.wants_second_factor:
            return RequiredStep.ENROLMENT
    return RequiredStep.NEW_PASSWORD if account.must_change_password and not step_up else None


RECOVERY_WINDOW = timedelta(minutes=10)


def find_level_to_prove(proofs: Proofs, *, has_second_factor: bool, now: datetime, age: timedelta) -> AssuranceLevel | None:
    """The level that managing factors wants anew; None when all that the account has was shown within `age` (authentication R21, R22).

    A recovery code opens the door for ten minutes: a lost authenticator is what it is for (authentication R28).
    """
    if not has_second_factor:
        return None if is_fresh(proofs.password_at, now, age) else "aal1"
    lasting = max(age, RECOVERY_WINDOW) if proofs.second_factor == "rc" else age
    return None if is_fresh(proofs.second_factor_at, now, lasting) else "aal2"


def is_fully_authenticated(proofs: Proofs, *, has_second_factor: bool, now: datetime, lasting: timedelta) -> bool:
    """Whether the session may do what is sensitive: at the account's highest level, and not by a recovery code (authentication R28)."""
    return not has_second_factor or (proofs.second_factor != "rc" and compute_acr(proofs, now, lasting) == "aal2")


def find_approval_level(account: AccountState) -> ApprovalLevel:
    """How sure a session must be to let a device in. Where there is a second factor, no device is let in without it (authentication R66)."""
    if account.wants_passkey:
        return PASSKEY_LEVEL
    return "aal2" if account.has_second_factor or account.wants_second_factor else "aal1"


def find_approval_step(account: AccountState, proofs: Proofs) -> RequiredStep | None:
    """What a session that approves has still to show, or to set up; `proofs` are those that count by now."""
    if account.wants_passkey and proofs.passkey_at is None:
        return RequiredStep.PASSKEY if account.has_passkey else RequiredStep.ENROLMENT
    if find_approval_level(account) == "aal1" or proofs.second_factor_at is not None:
        return None
    return RequiredStep.SECOND_FACTOR if account.has_second_factor else RequiredStep.ENROLMENT


def drop_expired(proofs: Proofs, now: datetime, age: timedelta) -> Proofs:
    """What a session has shown and what counts by now: a second factor that has decayed approves nothing (authentication R56)."""

    def counting(at: datetime | None) -> datetime | None:
        return at if at is not None and now < at + age else None

    return replace(proofs, second_factor_at=counting(proofs.second_factor_at), passkey_at=counting(proofs.passkey_at))
