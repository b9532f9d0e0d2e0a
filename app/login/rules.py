"""Pure judgements of authentication: which time step a code belongs to, how sure a session is, what comes next."""

import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, TypeAlias

import pyotp

PERIOD = 30
Level: TypeAlias = Literal["aal1", "aal2"]
_CODE = re.compile(r"[0-9]{6}", re.ASCII)


def matching_step(secret: str, code: str, now: datetime, skew: int) -> int | None:
    """The RFC 6238 time step that the code belongs to, within `skew` steps of `now`; None when it fits none.

    The step, not the text, is what must never be accepted twice (R16). Every candidate is compared, in constant time.
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
    """When each factor was last shown in this session, and which second one: `otp`, or `rc` for a recovery code."""

    password_at: datetime | None
    second_factor_at: datetime | None
    second_factor: str | None = "otp"

    @property
    def latest(self) -> datetime | None:
        """When something was last shown: the `auth_time` of OpenID Connect Core section 2, which RFC 9470's `max_age` is held against."""
        return max((at for at in (self.password_at, self.second_factor_at) if at is not None), default=None)

    @property
    def amr(self) -> list[str]:
        """Authentication methods (RFC 8176, and `rc` of our own)."""
        return ["pwd", self.second_factor or "otp", "mfa"] if self.second_factor_at is not None else ["pwd"]


def acr(proofs: Proofs, now: datetime, lasting: timedelta) -> Level:
    """`aal2` while the second factor is fresh, else `aal1`: assurance decays, the session lives on (R56)."""
    at = proofs.second_factor_at
    return "aal2" if at is not None and now < at + lasting else "aal1"


def fresh(at: datetime | None, now: datetime, age: timedelta) -> bool:
    """Whether something was proven at most `age` ago. What lies further ahead is from before the clock was set back: of no known age."""
    return at is not None and abs(now - at) <= age


class Need(StrEnum):
    """What a login still wants. `ENROLMENT` is a second factor that has to be set up first."""

    SECOND_FACTOR = "second_factor"
    ENROLMENT = "enrolment"
    NEW_PASSWORD = "new_password"  # noqa: S105  a step, not a password


@dataclass(frozen=True)
class Account:
    """What decides which steps a login takes: what the user has, and what this login must have."""

    has_second_factor: bool
    wants_second_factor: bool
    must_change_password: bool


def need(account: Account, proofs: Proofs, *, step_up: bool) -> Need | None:
    """What comes next; None when the login is complete. A password is changed only by who has shown all that there is.

    A login without a password began with a mailed code, which proves the mailbox alone: it always wants a new password, and
    before that no factor can be set up (R78, R79).
    """
    recovers = proofs.password_at is None and not step_up
    if recovers and (proofs.second_factor_at is not None or not account.has_second_factor):
        return Need.NEW_PASSWORD
    if proofs.second_factor_at is None:
        if account.has_second_factor or step_up:
            return Need.SECOND_FACTOR
        if account.wants_second_factor:
            return Need.ENROLMENT
    return Need.NEW_PASSWORD if account.must_change_password and not step_up else None


RECOVERY_WINDOW = timedelta(minutes=10)


def proof_wanted(proofs: Proofs, *, has_second_factor: bool, now: datetime, age: timedelta) -> Level | None:
    """The level that managing factors wants anew; None when all that the account has was shown within `age` (R21, R22).

    A recovery code opens the door for ten minutes: a lost authenticator is what it is for (R28).
    """
    if not has_second_factor:
        return None if fresh(proofs.password_at, now, age) else "aal1"
    lasting = max(age, RECOVERY_WINDOW) if proofs.second_factor == "rc" else age
    return None if fresh(proofs.second_factor_at, now, lasting) else "aal2"


def secured(proofs: Proofs, *, has_second_factor: bool, now: datetime, lasting: timedelta) -> bool:
    """Whether the session may do what is sensitive: at the account's highest level, and not by a recovery code (R28)."""
    return not has_second_factor or (proofs.second_factor != "rc" and acr(proofs, now, lasting) == "aal2")
