"""Wire models of validation, usage and offline files."""

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
    """`code`: `ok`, or the code of the first reason. `check_again_at`: the earliest time at which time alone can change the verdict."""

    valid: bool
    code: str
    reasons: list[ReasonOut]
    warnings: list[WarningOut]
    license: LicenseSummary | None
    check_again_at: Instant | None
    nonce: str | None

    @classmethod
    def of(cls, license: LicenseFacts | None, verdict: Verdict, now: datetime, nonce: str | None) -> Self:
        return cls(
            valid=not verdict.reasons,
            code=verdict.reasons[0].code if verdict.reasons else "ok",
            reasons=[ReasonOut(**reason.to_dict()) for reason in verdict.reasons],
            warnings=[WarningOut(**warning.to_dict()) for warning in verdict.warnings],
            license=LicenseSummary.of(license, now) if license else None,
            check_again_at=verdict.check_again_at,
            nonce=nonce,
        )


class _CredentialIn(WireModel):
    """The license: by `license_key`, by `license_id` (for an assigned end user), or by neither with an activation token."""

    license_key: Secret | None = None
    license_id: UUID | None = None
    product: Slug | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.license_key is not None and self.license_id is not None:
            raise ValueError("must have license_key or license_id, not both")
        return self

    def to_credential(self, seat: ActivatedDevice | None) -> LicenseCredential:
        return LicenseCredential(self.license_key, self.license_id, self.product, seat)


class UsageIn(_CredentialIn):
    """`add` 0 counts nothing and only reads the meter."""

    meter: Slug
    add: Count = 1


class OfflineIn(_CredentialIn):
    """`ttl`: the requested lifetime, such as P7D; the policy, the expiry and the lease can make it shorter."""

    device: FingerprintIn | None = None
    ttl: LeaseText | None = None
    nonce: Nonce | None = None
