"""Wire models of activation codes and seats."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from app.licenses.credentials import LicenseCredential
from app.licenses.schemas import LicenseSummary, SeatCount
from app.licenses.seats.rows import ActiveSeat, DeviceInfo
from app.web.fields import Email, Instant, InstantIn, Line, Name, Secret, Slug, WireModel


class DeviceIn(WireModel):
    """`fingerprint`: 1 to 512 printable characters, chosen by the application, compared exactly, such as a hash of machine ids."""

    fingerprint: Line
    name: Name | None = None
    platform: Name | None = None
    app_version: Name | None = None

    def to_info(self) -> DeviceInfo:
        return DeviceInfo(**self.model_dump())


class FingerprintIn(WireModel):
    fingerprint: Line


class ActivationCodesIn(WireModel):
    """`email`: only the logged-in end user with this verified address can use the codes."""

    count: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    max_uses: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1
    expires_at: InstantIn | None = None
    email: Email | None = None


class CreatedActivationCode(WireModel):
    """A new activation code; `code` is shown only here."""

    id: UUID
    code: str
    max_uses: int
    email: str | None
    expires_at: Instant | None


class CreatedActivationCodes(WireModel):
    data: list[CreatedActivationCode]


class ActivationCodeOut(WireModel):
    id: UUID
    license_id: UUID
    max_uses: int
    uses: int
    email: str | None
    expires_at: Instant | None
    revoked_at: Instant | None
    created_at: Instant


class ActivationIn(WireModel):
    """Exactly one of `license_key`, `activation_code` and `license_id` (of a license assigned to the end user).

    `product`: the product's code; a key of another product is then unknown.
    """

    license_key: Secret | None = None
    activation_code: Secret | None = None
    license_id: UUID | None = None
    product: Slug | None = None
    device: DeviceIn | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if [self.license_key, self.activation_code, self.license_id].count(None) != 2:
            raise ValueError("must have exactly one of license_key, activation_code and license_id")
        return self

    def to_credential(self) -> LicenseCredential:
        return LicenseCredential(self.license_key, self.license_id, self.product)


class ActivationSummary(WireModel):
    """A seat. `fingerprint` is null where the seat belongs to a user on any device."""

    id: UUID
    fingerprint: str | None
    name: str | None
    lease_expires_at: Instant | None
    last_seen_at: Instant

    @classmethod
    def of(cls, row: Any) -> Self:
        values = {name: row._mapping[name] for name in cls.model_fields}
        return cls(**{**values, "fingerprint": row.fingerprint or None})


class ActivationOut(ActivationSummary):
    """A seat, as operators see it."""

    license_id: UUID
    user_id: UUID | None
    platform: str | None
    app_version: str | None
    activated_at: Instant
    released_at: Instant | None
    release_reason: str | None


class OwnActivation(ActivationSummary):
    """A seat, as its user sees it."""

    license_id: UUID
    platform: str | None
    app_version: str | None
    activated_at: Instant


class ActivationResult(WireModel):
    """`token` authenticates this seat for heartbeat, release and access. It does not identify an end user."""

    activation: ActivationSummary
    token: str
    license: LicenseSummary
    seats: SeatCount

    @classmethod
    def of(cls, seat: ActiveSeat, now: datetime) -> Self:
        license = LicenseSummary.of(seat.license, now)
        return cls(activation=ActivationSummary.of(seat.row), token=seat.token, license=license, seats=license.seats)


class SeatReleaseIn(WireModel):
    license_key: Secret | None = None
