"""Wire models for issuing and changing licenses."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from app.catalog.schemas import Meter, Requires
from app.licenses.issuing.details import LicenseDetails
from app.licenses.keys import VENDOR_KEY_MAX, VENDOR_KEY_MIN, normalize_vendor_key
from app.licenses.schemas import LicenseSummary, UsageOut, build_summary_fields
from app.web.fields import (
    Count,
    ExternalId,
    FeatureValue,
    Flag,
    Instant,
    InstantIn,
    LeaseText,
    LimitIn,
    Line,
    Metadata,
    Secret,
    Slug,
    WireModel,
    clean_text,
    omittable,
)

MAX_ASSIGNMENTS = 2_000


def _check_vendor_key(text: str) -> str:
    if len(normalize_vendor_key(clean_text(text))) < VENDOR_KEY_MIN:
        raise ValueError(f"must have at least {VENDOR_KEY_MIN} letters or digits")
    return text


VendorKey = Annotated[str, Field(min_length=VENDOR_KEY_MIN, max_length=VENDOR_KEY_MAX), AfterValidator(_check_vendor_key)]


class Overrides(WireModel):
    """Fields that replace those of the policy; absent fields follow the policy.

    A feature or meter that is null is removed. A meter without `per` keeps the policy's period.
    """

    max_seats: LimitIn = omittable()
    extra_seats: Count = omittable()
    max_users: LimitIn = omittable()
    lease: LeaseText = omittable()
    offline_ttl: LeaseText = omittable()
    self_service: Flag = omittable()
    features: Annotated[dict[Slug, FeatureValue | None], Field(max_length=100)] = omittable()
    meters: Annotated[dict[Slug, Meter | None], Field(max_length=50)] = omittable()
    requires: Requires = omittable()


class LicenseIn(WireModel):
    """`count`: how many licenses to issue. `key`: a key of your own, 6 to 255 characters; case, spaces and dashes are ignored."""

    policy_id: UUID
    customer_id: UUID | None = None
    users: Annotated[list[UUID], Field(max_length=200)] = []
    count: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None
    key: VendorKey | None = None
    starts_at: InstantIn | None = None
    expires_at: InstantIn | None = None
    overrides: Overrides = Overrides()
    external_id: ExternalId | None = None
    metadata: Metadata = {}

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.count is not None and (self.key is not None or self.external_id is not None):
            raise ValueError("must not have `count` above 1 together with `key` or `external_id`, which are unique")
        if (self.count or 1) * len(self.users) > MAX_ASSIGNMENTS:
            raise ValueError(f"must assign at most {MAX_ASSIGNMENTS} users in one call (`count` times the number of `users`)")
        return self

    def to_values(self) -> dict[str, Any]:
        return {**self.model_dump(), "overrides": self.overrides.model_dump(exclude_unset=True)}


class LicensePatch(WireModel):
    """Absent fields stay unchanged. `expires_at` null: perpetual. `overrides` replaces all overrides."""

    expires_at: InstantIn | None = None
    overrides: Overrides = omittable()
    external_id: ExternalId | None = None
    metadata: Metadata = omittable()


class LicenseOut(LicenseSummary):
    """A license, as operators see it, without its key."""

    policy_id: UUID
    customer_id: UUID | None
    external_id: str | None
    suspended_at: Instant | None
    revoked_at: Instant | None
    users: list[UUID]
    usage: dict[str, UsageOut]
    overrides: dict[str, Any]
    metadata: Metadata
    created_at: Instant

    @classmethod
    def from_details(cls, license: LicenseDetails, now: datetime, **more: Any) -> Self:
        names = ("policy_id", "customer_id", "external_id", "suspended_at", "revoked_at", "overrides", "metadata", "created_at")
        values = {name: license.row._mapping[name] for name in names}
        usage = {meter: UsageOut.model_validate(used) for meter, used in license.usage.items()}
        return cls(**build_summary_fields(license.facts, now), **values, users=list(license.users), usage=usage, **more)


class IssuedLicense(LicenseOut):
    """A new license; `key` is shown only here."""

    key: str


class IssuedLicenses(WireModel):
    data: list[IssuedLicense]


class LicenseKeyIn(WireModel):
    license_key: Secret


class ReasonIn(WireModel):
    """The reason, for the audit log."""

    reason: Line | None = None


class RenewIn(ReasonIn):
    """`expires_at`: the new expiry (safe to retry). Absent: extend by one duration of the policy."""

    expires_at: InstantIn | None = None


class TransferIn(ReasonIn):
    """`customer_id` null: the license belongs to no customer."""

    customer_id: UUID | None


class PolicyChangeIn(ReasonIn):
    """`expiry`: `keep` keeps the dates; `reset` computes them from now, as for a new license."""

    policy_id: UUID
    expiry: Literal["keep", "reset"] = "keep"
