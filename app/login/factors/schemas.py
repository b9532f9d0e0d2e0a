"""Wire models of factors and recovery codes."""

from typing import Literal, Self
from uuid import UUID

from app.login.factors.recovery import LOW_COUNT, RemainingCodes
from app.login.factors.service import AddedFactor
from app.web.fields import Instant, Name, WireModel


class FactorAdded(WireModel):
    """`recovery_codes`: ten, shown this once, when it is the first second factor of the account."""

    id: UUID
    kind: Literal["totp", "passkey"]
    state: Literal["active"] = "active"
    confirmed_at: Instant
    recovery_codes: list[str] | None

    @classmethod
    def of(cls, it: AddedFactor) -> Self:
        return cls(id=it.id, kind=it.kind, confirmed_at=it.confirmed_at, recovery_codes=it.recovery_codes)


class FactorOut(WireModel):
    """`expires_at` is that of an enrolment that is not confirmed yet. `backed_up`: the passkey is kept elsewhere too, by its maker's cloud.

    A `suspect` passkey is out of use: its counter went back, so there may be a copy of it. Remove it and register another.
    """

    id: UUID
    kind: Literal["password", "totp", "passkey"]
    state: Literal["active", "pending", "suspect"]
    name: str | None
    backed_up: bool | None
    created_at: Instant
    confirmed_at: Instant | None
    used_at: Instant | None
    expires_at: Instant | None


class FactorPatch(WireModel):
    name: Name | None


class RecoveryCodesOut(WireModel):
    """Ten codes, each good once, shown this once."""

    recovery_codes: list[str]


class RecoveryCodesStatus(WireModel):
    """`low`: time to print new ones."""

    remaining: int
    total: int
    low: bool
    created_at: Instant | None

    @classmethod
    def of(cls, it: RemainingCodes) -> Self:
        return cls(remaining=it.remaining, total=it.total, low=it.remaining <= LOW_COUNT, created_at=it.created_at)
