"""Wire models of products, policies and customers."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.web.fields import (
    Count,
    DurationText,
    Email,
    ExternalId,
    Features,
    Flag,
    Instant,
    LeaseText,
    LimitIn,
    Locale,
    Metadata,
    Name,
    Slug,
    WireModel,
    omittable,
)

RequirementName = Literal["license", "activation", "login", "second_factor", "passkey", "eula"]
Requires = Annotated[list[RequirementName], Field(max_length=6)]
Limit = int | Literal["unlimited"]
SeatName = Literal["none", "device", "user", "device_per_user", "session"]


class Meter(WireModel):
    """The number of units that a license may use in each hour, day, month or year (UTC). `per` null: in total."""

    limit: LimitIn
    per: Literal["hour", "day", "month", "year"] | None = None


Meters = Annotated[dict[Slug, Meter], Field(max_length=50)]


class ProductIn(WireModel):
    code: Slug
    name: Name
    requires: Requires = []
    default_locale: Locale = "en"
    metadata: Metadata = {}


class ProductPatch(WireModel):
    name: Name = omittable()
    requires: Requires = omittable()
    default_locale: Locale = omittable()
    metadata: Metadata = omittable()


class ProductOut(WireModel):
    """`requires` includes implied requirements: `second_factor`, `passkey` and `eula` imply `login`; `activation` implies `license`."""

    id: UUID
    code: str
    name: str
    requires: list[RequirementName]
    default_locale: str
    metadata: Metadata
    created_at: Instant


class PolicyIn(WireModel):
    """`product`: the product's code. `duration` null: perpetual. `max_users` null: anyone with the license key may use it.

    `extra_seats`: seats tolerated above `max_seats`, with a warning. `trial`: each device can have only one trial of the product.
    `offline_ttl`: the longest validity of an offline license file; null: 30 days.
    """

    product: Slug
    name: Name
    duration: DurationText | None = None
    starts: Literal["issue", "first_activation"] = "issue"
    grace: DurationText | None = None
    seat_by: SeatName = "none"
    max_seats: LimitIn | None = None
    extra_seats: Count = 0
    lease: LeaseText | None = None
    max_users: LimitIn | None = None
    features: Features = {}
    meters: Meters = {}
    requires: Requires = []
    self_service: Flag = False
    trial: Flag = False
    offline_ttl: LeaseText | None = None
    metadata: Metadata = {}


class PolicyPatch(WireModel):
    """Omitted fields stay as they are. Limits and requirements take effect at once; dates of issued licenses never change."""

    name: Name = omittable()
    duration: DurationText | None = None
    starts: Literal["issue", "first_activation"] = omittable()
    grace: DurationText | None = None
    max_seats: LimitIn | None = None
    extra_seats: Count = omittable()
    lease: LeaseText | None = None
    max_users: LimitIn | None = None
    features: Features = omittable()
    meters: Meters = omittable()
    requires: Requires = omittable()
    self_service: Flag = omittable()
    trial: Flag = omittable()
    offline_ttl: LeaseText | None = None
    metadata: Metadata = omittable()


class PolicyOut(WireModel):
    id: UUID
    product: str
    name: str
    duration: str | None
    starts: str
    grace: str | None
    seat_by: SeatName
    max_seats: Limit | None
    extra_seats: int
    lease: str | None
    max_users: Limit | None
    features: Features
    meters: Meters
    requires: list[RequirementName]
    self_service: bool
    trial: bool
    offline_ttl: str | None
    metadata: Metadata
    created_at: Instant


class CustomerIn(WireModel):
    name: Name
    email: Email | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = {}


class CustomerPatch(WireModel):
    name: Name = omittable()
    email: Email | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = omittable()


class CustomerOut(WireModel):
    id: UUID
    name: str
    email: str | None
    external_id: str | None
    metadata: Metadata
    created_at: Instant
