"""Tables of signing keys. A unique index allows one active key at a time."""

from enum import StrEnum

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Instant, JsonMap, Word


class KeyState(StrEnum):
    """A key is published in every state except `revoked`: before it signs, while it signs, and after (authentication R63)."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


class KeyMark(Base):
    """The digest of a fixed text under a configured key, by which a start with a wrong key is detected."""

    __tablename__ = "key_marks"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    mark: Mapped[Digest]


class SigningKeyRow(Base):
    """A signing key. `kid` is its RFC 7638 thumbprint. Rows are never deleted, because receipts must verify years later.

    `retired_at` of a revoked key is the time of its revocation.
    """

    __tablename__ = "signing_keys"
    __table_args__ = (
        Index(
            "uq_signing_keys_active", "state", unique=True, sqlite_where=text("state = 'active'"), postgresql_where=text("state = 'active'")
        ),
    )

    kid: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[Word]
    public: Mapped[JsonMap]
    private_sealed: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Instant]
    activated_at: Mapped[Instant | None]
    retired_at: Mapped[Instant | None]
