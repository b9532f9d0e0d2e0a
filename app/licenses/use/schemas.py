"""Wire shapes of the check, of usage and of offline files."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from app.licenses.credentials import LicenseCredential
from app.licenses.rules import LicenseFacts, Verdict
from app.licenses.schemas import LicenseSummary
from app.licenses.seats.schemas import FingerprintIn
from app.web.callers import ActivatedDevice
from app.web.fields import Count, Instant, LeaseText, Nonce, ReasonOut, Secret, Slug, WarningOut, WireModel


class ValidateIn(WireModel):
    license_key: Secret
    product: Slug
    device: FingerprintIn | None = None
    features: Annotated[list[Slug], Field(max_length=100)] = []
    nonce: Nonce | None = None


class ValidationResult(WireModel):
    """`code` is `ok`, or the first reason's. `check_again_at`: the earliest instant at which the answer can change by itself."""

    valid: bool
    code: str
    reasons: list[ReasonOut]
    warnings: list[WarningOut]
    license: LicenseSummary | None
    check_again_at: Instant | None
    nonce: str | None

    @classmethod
    def of(cls, it: LicenseFacts | None, verdict: Verdict, now: datetime, nonce: str | None) -> Self:
        return cls(
            valid=not verdict.reasons,
            code=verdict.reasons[0].code if verdict.reasons else "ok",
            reasons=[ReasonOut(**reason.to_dict()) for reason in verdict.reasons],
            warnings=[WarningOut(**warned.to_dict()) for warned in verdict.warnings],
            license=LicenseSummary.of(it, now) if it else None,
            check_again_at=verdict.check_again_at,
            nonce=nonce,
        )


class _Claims(WireModel):
    """Names the license: `license_key`; or `license_id`, for an end user it is assigned to; or neither, with a seat's token."""

    license_key: Secret | None = None
    license_id: UUID | None = None
    product: Slug | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.license_key is not None and self.license_id is not None:
            raise ValueError("wants one of license_key and license_id, not both")
        return self

    def credential(self, seat: ActivatedDevice | None) -> LicenseCredential:
        return LicenseCredential(self.license_key, self.license_id, self.product, seat)


class UsageIn(_Claims):
    """`add` 0 counts nothing and tells how the meter stands."""

    meter: Slug
    add: Count = 1


class OfflineIn(_Claims):
    """`ttl`: how long the file is wanted for, an ISO 8601 duration; the policy, the expiry and the lease may end it sooner."""

    device: FingerprintIn | None = None
    ttl: LeaseText | None = None
    nonce: Nonce | None = None
