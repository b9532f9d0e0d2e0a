"""Table of device grant requests (RFC 8628), and the format of user codes."""

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.base.base32 import strip_separators
from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, Json, Reference, Word

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Consonants only, so that codes spell no words and contain no digit look-alikes (RFC 8628 section 6.1)."""
USER_CODE_LENGTH = 8


class DeviceCodeStatus(StrEnum):
    """Status of a device grant request."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    CONSUMED = "consumed"


class DeviceCode(Base):
    """A request and its outcome. `ip`, `user_agent`, `product` and `device` describe the requesting application.

    `claimed_session_id` is the only session that may decide, `user_id` its user. `amr` and the timestamps are that session's proofs when
    it approved, `auth_epoch` the account's epoch then. `interval` is in seconds; `last_poll` is a Unix time in milliseconds, so that one
    statement can compare them on both databases.
    """

    __tablename__ = "device_codes"

    id: Mapped[Identifier]
    device_hash: Mapped[Digest] = mapped_column(unique=True)
    user_hash: Mapped[Digest] = mapped_column(unique=True)
    status: Mapped[Word]
    product: Mapped[str | None] = mapped_column(String(64))
    device: Mapped[dict[str, Any] | None] = mapped_column(Json)
    device_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(512))
    user_id: Mapped[Reference | None] = mapped_column(ForeignKey("users.id"), index=True)
    claimed_session_id: Mapped[Reference | None] = mapped_column(ForeignKey("sessions.id"))
    auth_epoch: Mapped[int | None]
    amr: Mapped[list[str] | None] = mapped_column(Json)
    password_at: Mapped[Instant | None]
    second_factor_at: Mapped[Instant | None]
    passkey_at: Mapped[Instant | None]
    interval: Mapped[int]
    last_poll: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    decided_at: Mapped[Instant | None]


def map_to_letters(random_bytes: bytes) -> str:
    """Map random bytes to letters. Bytes above the last whole multiple of the alphabet are skipped, because they would bias the result."""
    limit = 256 // len(LETTERS) * len(LETTERS)
    return "".join(LETTERS[byte % len(LETTERS)] for byte in random_bytes if byte < limit)


def format_user_code(code: str) -> str:
    """Format a user code for display: `WDJB-MJHT`."""
    return f"{code[:4]}-{code[4:]}"


def normalize_user_code(typed: str) -> str:
    """Return a typed user code in canonical form: upper case, without dashes and spaces."""
    return strip_separators(typed).upper()
