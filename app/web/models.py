"""First answers kept for 24 hours, so that a retry gets the same one; failures counted, so that guessing is no way in."""

from sqlalchemy import LargeBinary, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Instant


class StoredAnswer(Base):
    """`slot` is a digest of caller and key, `request` of method, path and body; the answer is sealed, it may hold secrets."""

    __tablename__ = "kept_answers"

    slot: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    request: Mapped[Digest]
    status: Mapped[int] = mapped_column(SmallInteger)
    answer: Mapped[str] = mapped_column(Text, info={"sealed": True})
    kept_until: Mapped[Instant] = mapped_column(index=True)


class FailureCount(Base):
    """Failures of one kind in one window of time. `slot` is a digest of the address, key or code they are counted for."""

    __tablename__ = "failure_counts"

    slot: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    failures: Mapped[int]
    until: Mapped[Instant] = mapped_column(index=True)
