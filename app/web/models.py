"""First answers kept for 24 hours, so that a retry gets the same one."""

from sqlalchemy import LargeBinary, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Instant


class KeptAnswer(Base):
    """`slot` is a digest of caller and key, `request` of method, path and body; the answer is sealed, it may hold secrets."""

    __tablename__ = "kept_answers"

    slot: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    request: Mapped[Digest]
    status: Mapped[int] = mapped_column(SmallInteger)
    answer: Mapped[str] = mapped_column(Text)
    kept_until: Mapped[Instant] = mapped_column(index=True)
