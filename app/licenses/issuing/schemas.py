"""Wire models of issuing and changing licenses."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from app.catalog.schemas import Meter, Requires
from app.licenses.issuing.service import LicenseDetails
from app.licenses.keys import VENDOR_KEY_MAX, VENDOR_KEY_MIN, normalize_vendor_key
from app.licenses.schemas import LicenseSummary, Usage, face
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

MOST_ASSIGNMENTS = 2_000


def _own_key(text: str) -> str:
    if len(normalize_vendor_key(clean_text(text))) < VENDOR_KEY_MIN:
        raise ValueError(f"wants at least {VENDOR_KEY_MIN} letters or digits")
    return text


OwnKey = Annotated[str, Field(min_length=VENDOR_KEY_MIN, max_length=VENDOR_KEY_MAX), AfterValidator(_own_key)]


class Overrides(WireModel):
    """What differs from the policy; absent is as the policy says. A feature or meter that is null is taken away. A meter without
    `per` keeps the policy's period."""

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
    """`count`: that many at once. `key`: the vendor's own, 6 to 255 characters, read without regard to case, spaces and dashes."""

    policy_id: UUID
    customer_id: UUID | None = None
    users: Annotated[list[UUID], Field(max_length=200)] = []
    count: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None
    key: OwnKey | None = None
    starts_at: InstantIn | None = None
    expires_at: InstantIn | None = None
    overrides: Overrides = Overrides()
    external_id: ExternalId | None = None
    metadata: Metadata = {}

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.count is not None and (self.key is not None or self.external_id is not None):
            raise ValueError("`count` does not go with `key` or `external_id`, of which each license has its own")
        if (self.count or 1) * len(self.users) > MOST_ASSIGNMENTS:
            raise ValueError(f"wants at most {MOST_ASSIGNMENTS} assignments at once (`count` times `users`)")
        return self

    def values(self) -> dict[str, Any]:
        return {**self.model_dump(), "overrides": self.overrides.model_dump(exclude_unset=True)}


class LicensePatch(WireModel):
    """Absent fields stay. `expires_at` null: perpetual. `overrides` replaces the whole set."""

    expires_at: InstantIn | None = None
    overrides: Overrides = omittable()
    external_id: ExternalId | None = None
    metadata: Metadata = omittable()


class LicenseOut(LicenseSummary):
    """A license as an operator sees it. The key is never among it."""

    policy_id: UUID
    customer_id: UUID | None
    external_id: str | None
    suspended_at: Instant | None
    revoked_at: Instant | None
    users: list[UUID]
    usage: dict[str, Usage]
    overrides: dict[str, Any]
    metadata: Metadata
    created_at: Instant

    @classmethod
    def shown(cls, shown: LicenseDetails, now: datetime, **more: Any) -> Self:
        names = ("policy_id", "customer_id", "external_id", "suspended_at", "revoked_at", "overrides", "metadata", "created_at")
        told = {name: shown.row._mapping[name] for name in names}
        used = {meter: Usage.model_validate(each) for meter, each in shown.usage.items()}
        return cls(**face(shown.facts, now), **told, users=list(shown.users), usage=used, **more)


class IssuedLicense(LicenseOut):
    """`key` is shown this once."""

    key: str


class IssuedLicenses(WireModel):
    data: list[IssuedLicense]


class KeyIn(WireModel):
    license_key: Secret


class ReasonIn(WireModel):
    """Why, for the record."""

    reason: Line | None = None


class RenewIn(ReasonIn):
    """`expires_at`: the new end, which makes a repetition harmless; absent: one more duration of the policy."""

    expires_at: InstantIn | None = None


class TransferIn(ReasonIn):
    """`customer_id` null: nobody in particular."""

    customer_id: UUID | None


class PolicyChangeIn(ReasonIn):
    """`expiry`: `keep` leaves the dates, `reset` sets them as at issue, from now."""

    policy_id: UUID
    expiry: Literal["keep", "reset"] = "keep"
