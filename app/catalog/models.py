"""Products, policies, customers."""

from enum import StrEnum

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Identifier, Instant, JsonList, JsonMap, Limit, LimitType, Reference, Word


class Requirement(StrEnum):
    """What a product may ask for at the access decision, in the order in which it is judged."""

    LOGIN = "login"
    SECOND_FACTOR = "second_factor"
    PASSKEY = "passkey"
    LICENSE = "license"
    ACTIVATION = "activation"
    EULA = "eula"


class SeatBy(StrEnum):
    NONE = "none"
    DEVICE = "device"


class Product(Base):
    """`rev` is bumped first by every change of the product's or its policies' requirements, which must fit each other."""

    __tablename__ = "products"

    id: Mapped[Identifier]
    code: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    requires: Mapped[JsonList]
    default_locale: Mapped[str] = mapped_column(String(35))
    rev: Mapped[int] = mapped_column(default=0)
    metadata_: Mapped[JsonMap] = mapped_column("metadata")
    created_at: Mapped[Instant]


class Policy(Base):
    """Limits and requirements are read live from here; dates are frozen on the license at issue."""

    __tablename__ = "policies"

    id: Mapped[Identifier]
    product_id: Mapped[Reference] = mapped_column(ForeignKey("products.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    duration: Mapped[Word | None]
    grace: Mapped[Word | None]
    seat_by: Mapped[Word]
    max_seats: Mapped[Limit | None] = mapped_column(LimitType)
    lease: Mapped[Word | None]
    max_users: Mapped[Limit | None] = mapped_column(LimitType)
    features: Mapped[JsonMap]
    requires: Mapped[JsonList]
    self_service: Mapped[bool]
    metadata_: Mapped[JsonMap] = mapped_column("metadata")
    created_at: Mapped[Instant]


class Customer(Base):
    __tablename__ = "customers"

    id: Mapped[Identifier]
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str | None] = mapped_column(String(254))
    external_id: Mapped[str | None] = mapped_column(String(200), unique=True)
    metadata_: Mapped[JsonMap] = mapped_column("metadata")
    created_at: Mapped[Instant]
