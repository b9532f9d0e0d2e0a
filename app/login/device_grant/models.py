"""Requests of applications without a keyboard to be let in by a short code (RFC 8628): what is kept of them, and how a code is read."""

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.base.base32 import strip_separators
from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, Json, Reference, Word

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 section 6.1: consonants alone, so that no word comes of them and none looks like a digit."""
USER_CODE_LENGTH = 8


class DeviceCodeStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    CONSUMED = "consumed"


class DeviceCode(Base):
    """A request, and what became of it. `ip`, `user_agent`, `product` and `device` are of the application that asks.

    `claimed_session_id` is the only session that may decide; `user_id` is whose it is. `amr` and the instants are what that session
    had shown when it approved, `auth_epoch` the account's at that moment. `interval` is in seconds, `last_poll` in milliseconds
    of the epoch, so that one statement can hold them against each other on both databases.
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


def map_to_letters(octets: bytes) -> str:
    """One letter for each even draw. The octets above the last whole round of the alphabet would favour some: they stand for none."""
    rounds = 256 // len(LETTERS) * len(LETTERS)
    return "".join(LETTERS[octet % len(LETTERS)] for octet in octets if octet < rounds)


def format_user_code(code: str) -> str:
    """`WDJB-MJHT`: as it is read out and typed in."""
    return f"{code[:4]}-{code[4:]}"


def normalize_user_code(typed: str) -> str:
    """A user code in its one form: case, dashes and spaces do not matter."""
    return strip_separators(typed).upper()
