"""End users."""

from enum import StrEnum

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Identifier, Instant, JsonMap, Word


class UserStatus(StrEnum):
    """State of an account. `erased` is final: the remaining row identifies no person (agreements R25)."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ERASED = "erased"


class AgeBand(StrEnum):
    """The age group of a user. Dates of birth are not stored (agreements P2)."""

    ADULT = "adult"
    MINOR = "minor"
    UNKNOWN = "unknown"


class User(Base):
    """An end user.

    `email`: the address as entered. `email_folded`: its form for comparison, without differences of case and width.
    `auth_epoch`: incrementing it ends every earlier session and pending login. `region`: a country, one of its subdivisions, or three
    digits of UN M.49. `handle`: the user's id for passkeys, 64 random bytes (WebAuthn Level 3 section 14.6.1).
    """

    __tablename__ = "users"
    __table_args__ = (Index("uq_users_handle", "handle", unique=True),)

    id: Mapped[Identifier]
    email: Mapped[str] = mapped_column(String(254))
    email_folded: Mapped[str] = mapped_column(String(512), unique=True)
    email_verified_at: Mapped[Instant | None]
    display_name: Mapped[str | None] = mapped_column(String(200))
    locale: Mapped[str | None] = mapped_column(String(35))
    region: Mapped[str | None] = mapped_column(String(6))
    timezone: Mapped[str | None] = mapped_column(String(64))
    age_band: Mapped[Word] = mapped_column(default=AgeBand.UNKNOWN, server_default="unknown")
    preferences: Mapped[JsonMap] = mapped_column(default=dict, server_default="{}")
    status: Mapped[Word]
    auth_epoch: Mapped[int] = mapped_column(default=0, server_default="0")
    handle: Mapped[bytes | None] = mapped_column(LargeBinary(64))
    external_id: Mapped[str | None] = mapped_column(String(200), unique=True)
    metadata_: Mapped[JsonMap] = mapped_column("metadata")
    created_at: Mapped[Instant]
    last_login_at: Mapped[Instant | None]
