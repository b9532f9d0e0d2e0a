"""The table of operator keys, which are stored as digests."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, JsonList, Reference


class ApiKey(Base):
    """An operator key. `replaced_by`: the key that replaced it in a rotation. `last_used_at`: accurate to one hour."""

    __tablename__ = "api_keys"

    id: Mapped[Identifier]
    name: Mapped[str] = mapped_column(String(200))
    key_hash: Mapped[Digest] = mapped_column(unique=True)
    scopes: Mapped[JsonList]
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant | None]
    revoked_at: Mapped[Instant | None]
    replaced_by: Mapped[Reference | None]
    last_used_at: Mapped[Instant | None]
