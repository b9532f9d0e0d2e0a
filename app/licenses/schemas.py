"""Wire shapes of licenses, codes and seats."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from app.licenses.rules import Standing, Verdict
from app.licenses.seats import DeviceFacts, Held
from app.licenses.service import Shown
from app.web.shapes import (
    ExternalId,
    Features,
    Instant,
    InstantIn,
    Line,
    Metadata,
    Name,
    Nonce,
    ReasonOut,
    Secret,
    Shape,
    Slug,
    WarningOut,
    absent,
)

Status = Literal["revoked", "suspended", "not_started", "expired", "in_grace", "active"]
Limit = int | Literal["unlimited"] | None


class DeviceIn(Shape):
    """`fingerprint`: 1 to 512 printable characters that the application chooses; compared exactly."""

    fingerprint: Line
    name: Name | None = None
    platform: Name | None = None
    app_version: Name | None = None

    def facts(self) -> DeviceFacts:
        return DeviceFacts(**self.model_dump())


class FingerprintIn(Shape):
    fingerprint: Line


class Seats(Shape):
    """`limit` is null where the policy has no seats."""

    used: int
    limit: Limit


class LicenseFace(Shape):
    """A license as its holder sees it."""

    id: UUID
    product: str
    key_last4: str
    status: Status
    starts_at: Instant
    expires_at: Instant | None
    grace_until: Instant | None
    features: Features
    seats: Seats

    @classmethod
    def of(cls, it: Standing, now: datetime) -> Self:
        return cls(**_face(it, now))


def _face(it: Standing, now: datetime) -> dict[str, Any]:
    return {
        "id": it.license_id,
        "product": it.product,
        "key_last4": it.key_last4,
        "status": it.status(now),
        "starts_at": it.starts_at,
        "expires_at": it.expires_at,
        "grace_until": it.grace_until,
        "features": it.features,
        "seats": Seats(used=it.seats_used, limit=it.max_seats),
    }


class LicenseIn(Shape):
    policy_id: UUID
    customer_id: UUID | None = None
    users: Annotated[list[UUID], Field(max_length=200)] = []
    starts_at: InstantIn | None = None
    expires_at: InstantIn | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = {}


class LicensePatch(Shape):
    external_id: ExternalId | None = None
    metadata: Metadata = absent()


class LicenseOut(LicenseFace):
    """A license as an operator sees it. The key is never among it."""

    policy_id: UUID
    customer_id: UUID | None
    external_id: str | None
    suspended_at: Instant | None
    revoked_at: Instant | None
    users: list[UUID]
    metadata: Metadata
    created_at: Instant

    @classmethod
    def shown(cls, shown: Shown, now: datetime, **more: Any) -> Self:
        names = ("policy_id", "customer_id", "external_id", "suspended_at", "revoked_at", "metadata", "created_at")
        told = {name: shown.row._mapping[name] for name in names}
        return cls(**_face(shown.standing, now), **told, users=list(shown.users), **more)


class LicenseIssued(LicenseOut):
    """`key` is shown this once."""

    key: str


class KeyIn(Shape):
    license_key: Secret


class ReasonIn(Shape):
    """Why, for the record."""

    reason: Line | None = None


class CodesIn(Shape):
    count: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    max_uses: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1
    expires_at: InstantIn | None = None


class CodeMade(Shape):
    """`code` is shown this once."""

    id: UUID
    code: str
    max_uses: int
    expires_at: Instant | None


class CodesMade(Shape):
    data: list[CodeMade]


class CodeOut(Shape):
    id: UUID
    license_id: UUID
    max_uses: int
    uses: int
    expires_at: Instant | None
    revoked_at: Instant | None
    created_at: Instant


class ActivationIn(Shape):
    """Exactly one of `license_key` and `activation_code`."""

    license_key: Secret | None = None
    activation_code: Secret | None = None
    device: DeviceIn | None = None

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if (self.license_key is None) == (self.activation_code is None):
            raise ValueError("wants exactly one of license_key and activation_code")
        return self


class ActivationFace(Shape):
    id: UUID
    fingerprint: str
    name: str | None
    lease_expires_at: Instant | None
    last_seen_at: Instant


class ActivationOut(ActivationFace):
    """A seat as an operator sees it."""

    license_id: UUID
    user_id: UUID | None
    platform: str | None
    app_version: str | None
    activated_at: Instant
    released_at: Instant | None


class Activated(Shape):
    """`token` speaks for this seat alone: heartbeat, release, access. It is no identity."""

    activation: ActivationFace
    token: str
    license: LicenseFace
    seats: Seats

    @classmethod
    def of(cls, held: Held, now: datetime) -> Self:
        face = LicenseFace.of(held.standing, now)
        activation = ActivationFace(**{name: held.row._mapping[name] for name in ActivationFace.model_fields})
        return cls(activation=activation, token=held.token, license=face, seats=face.seats)


class ReleaseIn(Shape):
    license_key: Secret | None = None


class ValidateIn(Shape):
    license_key: Secret
    product: Slug
    device: FingerprintIn | None = None
    features: Annotated[list[Slug], Field(max_length=100)] = []
    nonce: Nonce | None = None


class Validated(Shape):
    """`code` is `ok`, or the first reason's. `check_again_at`: the earliest instant at which the answer can change by itself."""

    valid: bool
    code: str
    reasons: list[ReasonOut]
    warnings: list[WarningOut]
    license: LicenseFace | None
    check_again_at: Instant | None
    nonce: str | None

    @classmethod
    def of(cls, it: Standing | None, verdict: Verdict, now: datetime, nonce: str | None) -> Self:
        return cls(
            valid=not verdict.reasons,
            code=verdict.reasons[0].code if verdict.reasons else "ok",
            reasons=[ReasonOut(**reason.told()) for reason in verdict.reasons],
            warnings=[WarningOut(**warned.told()) for warned in verdict.warnings],
            license=LicenseFace.of(it, now) if it else None,
            check_again_at=verdict.check_again_at,
            nonce=nonce,
        )
