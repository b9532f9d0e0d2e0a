"""Stored responses to requests with an `Idempotency-Key`, and counters of attempts."""

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
    """Not used any more: failures are counted in `throttles`. It stays for replicas of the previous release during a rolling upgrade."""

    __tablename__ = "failure_counts"

    slot: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    failures: Mapped[int]
    until: Mapped[Instant] = mapped_column(index=True)


class AttemptCounter(Base):
    """Attempts of one kind by one name, account, network, license key or code (see `app/web/counters.py`).

    `key` is an HMAC, so that the table names no person (authentication R37, R48). `locked_until` is the end of the wait or of the window.
    """

    __tablename__ = "throttles"

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    attempts: Mapped[int]
    locked_until: Mapped[Instant | None]
    expires_at: Mapped[Instant | None] = mapped_column(index=True)
