"""Wire shapes of products, policies and customers."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.web.shapes import (
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
    Shape,
    Slug,
    absent,
)

RequirementName = Literal["license", "activation", "login", "second_factor", "passkey", "eula"]
Requires = Annotated[list[RequirementName], Field(max_length=6)]
Limit = int | Literal["unlimited"]


class ProductIn(Shape):
    code: Slug
    name: Name
    requires: Requires = []
    default_locale: Locale = "en"
    metadata: Metadata = {}


class ProductPatch(Shape):
    name: Name = absent()
    requires: Requires = absent()
    default_locale: Locale = absent()
    metadata: Metadata = absent()


class ProductOut(Shape):
    """`requires` is closed under implication: `second_factor`, `passkey` and `eula` bring `login`, `activation` brings `license`."""

    id: UUID
    code: str
    name: str
    requires: list[RequirementName]
    default_locale: str
    metadata: Metadata
    created_at: Instant


class PolicyIn(Shape):
    """`product` is the product's code. `duration` null: perpetual. `max_users` absent: whoever holds the key may use it."""

    product: Slug
    name: Name
    duration: DurationText | None = None
    grace: DurationText | None = None
    seat_by: Literal["none", "device"] = "none"
    max_seats: LimitIn | None = None
    lease: LeaseText | None = None
    max_users: LimitIn | None = None
    features: Features = {}
    requires: Requires = []
    self_service: Flag = False
    metadata: Metadata = {}


class PolicyPatch(Shape):
    """Absent fields stay. Limits and requirements take effect at once; dates of issued licenses never move."""

    name: Name = absent()
    duration: DurationText | None = None
    grace: DurationText | None = None
    max_seats: LimitIn | None = None
    lease: LeaseText | None = None
    max_users: LimitIn | None = None
    features: Features = absent()
    requires: Requires = absent()
    self_service: Flag = absent()
    metadata: Metadata = absent()


class PolicyOut(Shape):
    id: UUID
    product: str
    name: str
    duration: str | None
    grace: str | None
    seat_by: Literal["none", "device"]
    max_seats: Limit | None
    lease: str | None
    max_users: Limit | None
    features: Features
    requires: list[RequirementName]
    self_service: bool
    metadata: Metadata
    created_at: Instant


class CustomerIn(Shape):
    name: Name
    email: Email | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = {}


class CustomerPatch(Shape):
    name: Name = absent()
    email: Email | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = absent()


class CustomerOut(Shape):
    id: UUID
    name: str
    email: str | None
    external_id: str | None
    metadata: Metadata
    created_at: Instant
