"""End users."""

from enum import StrEnum

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Identifier, Instant, JsonMap, Word


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


class User(Base):
    """`email` as it was given, `email_folded` for recognising it again, whatever its case and width."""

    __tablename__ = "users"

    id: Mapped[Identifier]
    email: Mapped[str] = mapped_column(String(254))
    email_folded: Mapped[str] = mapped_column(String(512), unique=True)
    email_verified_at: Mapped[Instant | None]
    display_name: Mapped[str | None] = mapped_column(String(200))
    locale: Mapped[str | None] = mapped_column(String(35))
    status: Mapped[Word]
    external_id: Mapped[str | None] = mapped_column(String(200), unique=True)
    metadata_: Mapped[JsonMap] = mapped_column("metadata")
    created_at: Mapped[Instant]
