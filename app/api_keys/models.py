"""Operator keys, stored as digests."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, JsonList


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[Identifier]
    name: Mapped[str] = mapped_column(String(200))
    key_hash: Mapped[Digest] = mapped_column(unique=True)
    scopes: Mapped[JsonList]
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant | None]
    revoked_at: Mapped[Instant | None]
