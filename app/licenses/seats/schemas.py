"""Wire shapes of activation codes and seats."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from app.licenses.credentials import LicenseCredential
from app.licenses.schemas import LicenseSummary, Seats
from app.licenses.seats.service import ActiveSeat, DeviceInfo
from app.web.fields import Email, Instant, InstantIn, Line, Name, Secret, Slug, WireModel


class DeviceIn(WireModel):
    """`fingerprint`: 1 to 512 printable characters that the application chooses; compared exactly."""

    fingerprint: Line
    name: Name | None = None
    platform: Name | None = None
    app_version: Name | None = None

    def facts(self) -> DeviceInfo:
        return DeviceInfo(**self.model_dump())


class FingerprintIn(WireModel):
    fingerprint: Line


class CodesIn(WireModel):
    """`email`: only the end user of that verified address, logged in, may use the codes."""

    count: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    max_uses: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1
    expires_at: InstantIn | None = None
    email: Email | None = None


class CreatedCode(WireModel):
    """`code` is shown this once."""

    id: UUID
    code: str
    max_uses: int
    email: str | None
    expires_at: Instant | None


class CreatedCodes(WireModel):
    data: list[CreatedCode]


class CodeOut(WireModel):
    id: UUID
    license_id: UUID
    max_uses: int
    uses: int
    email: str | None
    expires_at: Instant | None
    revoked_at: Instant | None
    created_at: Instant


class ActivationIn(WireModel):
    """Exactly one of `license_key`, `activation_code`, and (for an end user it is assigned to) `license_id`.

    `product`: the product's code; a key of another product is then an unknown one.
    """

    license_key: Secret | None = None
    activation_code: Secret | None = None
    license_id: UUID | None = None
    product: Slug | None = None
    device: DeviceIn | None = None

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if [self.license_key, self.activation_code, self.license_id].count(None) != 2:
            raise ValueError("wants exactly one of license_key, activation_code and license_id")
        return self

    def credential(self) -> LicenseCredential:
        return LicenseCredential(self.license_key, self.license_id, self.product)


class ActivationSummary(WireModel):
    """`fingerprint` is null where the seat is its user's on any device."""

    id: UUID
    fingerprint: str | None
    name: str | None
    lease_expires_at: Instant | None
    last_seen_at: Instant

    @classmethod
    def seat(cls, row: Any) -> Self:
        told = {name: row._mapping[name] for name in cls.model_fields}
        return cls(**{**told, "fingerprint": row.fingerprint or None})


class ActivationOut(ActivationSummary):
    """A seat as an operator sees it."""

    license_id: UUID
    user_id: UUID | None
    platform: str | None
    app_version: str | None
    activated_at: Instant
    released_at: Instant | None
    release_reason: str | None


class OwnActivation(ActivationSummary):
    """A seat as its user sees it."""

    license_id: UUID
    platform: str | None
    app_version: str | None
    activated_at: Instant


class ActivationResult(WireModel):
    """`token` speaks for this seat alone: heartbeat, release, access. It is no identity."""

    activation: ActivationSummary
    token: str
    license: LicenseSummary
    seats: Seats

    @classmethod
    def of(cls, held: ActiveSeat, now: datetime) -> Self:
        face = LicenseSummary.of(held.standing, now)
        return cls(activation=ActivationSummary.seat(held.row), token=held.token, license=face, seats=face.seats)


class ReleaseIn(WireModel):
    license_key: Secret | None = None
