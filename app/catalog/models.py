"""Tables of products, policies and customers."""

from enum import StrEnum

from sqlalchemy import ForeignKey, String, false
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Identifier, Instant, JsonList, JsonMap, Limit, LimitType, Reference, Word


class Requirement(StrEnum):
    """Requirements that a product can set for the access decision, in the order in which they are checked."""

    LOGIN = "login"
    SECOND_FACTOR = "second_factor"
    PASSKEY = "passkey"
    LICENSE = "license"
    ACTIVATION = "activation"
    EULA = "eula"


class SeatBy(StrEnum):
    """The unit that takes a seat.

    `user`: each end user takes one. `device_per_user`: each device of each end user takes one. `session`: each running process takes
    one, even on the same device.
    """

    NONE = "none"
    DEVICE = "device"
    USER = "user"
    DEVICE_PER_USER = "device_per_user"
    SESSION = "session"


class ClockStart(StrEnum):
    """The event that starts the duration of a license. Validation never starts it."""

    ISSUE = "issue"
    FIRST_ACTIVATION = "first_activation"


class Product(Base):
    """A product. Every change first increments `rev` as a row lock, which keeps its requirements consistent with those of its policies."""

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
    """A policy. Its limits and requirements apply to issued licenses at once; dates are copied to the license when it is issued.

    `duration`, `grace`, `lease` and `offline_ttl` are ISO 8601 durations.
    """

    __tablename__ = "policies"

    id: Mapped[Identifier]
    product_id: Mapped[Reference] = mapped_column(ForeignKey("products.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    duration: Mapped[Word | None]
    starts: Mapped[Word] = mapped_column(server_default=ClockStart.ISSUE)
    grace: Mapped[Word | None]
    seat_by: Mapped[Word]
    max_seats: Mapped[Limit | None] = mapped_column(LimitType)
    extra_seats: Mapped[int] = mapped_column(server_default="0")
    lease: Mapped[Word | None]
    max_users: Mapped[Limit | None] = mapped_column(LimitType)
    features: Mapped[JsonMap]
    meters: Mapped[JsonMap] = mapped_column(server_default="{}")
    requires: Mapped[JsonList]
    self_service: Mapped[bool]
    trial: Mapped[bool] = mapped_column(server_default=false())
    offline_ttl: Mapped[Word | None]
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
