"""Pure judgements of authentication: which time step a code belongs to, how sure a session is, what comes next."""

import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    """When each factor was last shown in this session."""

    password_at: datetime | None
    second_factor_at: datetime | None


def acr(proofs: Proofs, now: datetime, lasting: timedelta) -> Level:
    """`aal2` while the second factor is fresh, else `aal1`: assurance decays, the session lives on (R56)."""
    at = proofs.second_factor_at
    return "aal2" if at is not None and now < at + lasting else "aal1"


def fresh(at: datetime | None, now: datetime, age: timedelta) -> bool:
    """Whether something was proven at most `age` ago."""
    return at is not None and now - at <= age
