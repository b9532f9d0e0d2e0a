"""Wire models of factors and recovery codes."""

from typing import Literal, Self
from uuid import UUID

from app.login.factors.recovery import LOW_COUNT, RemainingCodes
from app.login.factors.service import AddedFactor
from app.web.fields import Instant, Name, WireModel


class FactorAdded(WireModel):
    """`recovery_codes`: ten codes, returned only here, if this is the account's first second factor; otherwise null."""

    id: UUID
    kind: Literal["totp", "passkey"]
    state: Literal["active"] = "active"
    confirmed_at: Instant
    recovery_codes: list[str] | None

    @classmethod
    def of(cls, added: AddedFactor) -> Self:
        return cls(id=added.id, kind=added.kind, confirmed_at=added.confirmed_at, recovery_codes=added.recovery_codes)


class FactorOut(WireModel):
    """`expires_at`: when an unconfirmed enrolment expires. `backed_up`: the passkey is also stored in its provider's cloud.

    A `suspect` passkey cannot be used: its counter went back, so a copy of it may exist. Remove it and register another one.
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
    """Ten codes, each usable once, returned only here."""

    recovery_codes: list[str]


class RecoveryCodesStatus(WireModel):
    """`low`: few codes remain; ask the user to create new ones."""

    remaining: int
    total: int
    low: bool
    created_at: Instant | None

    @classmethod
    def of(cls, codes: RemainingCodes) -> Self:
        return cls(remaining=codes.remaining, total=codes.total, low=codes.remaining <= LOW_COUNT, created_at=codes.created_at)
