"""Factors, unfinished logins, sessions."""

from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, JsonList, Reference, Word


class FactorKind(StrEnum):
    PASSWORD = "password"  # noqa: S105  the name of a kind, not a password
    TOTP = "totp"


class FactorState(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    REVOKED = "revoked"


class Factor(Base):
    """An authenticator, also a dead one. A password has `hash`; a TOTP device has `secret_sealed` and the `last_step` it spent."""

    __tablename__ = "factors"
    __table_args__ = (
        Index(
            "uq_factors_one_password",
            "user_id",
            unique=True,
            sqlite_where=text("kind = 'password' AND state = 'active'"),
            postgresql_where=text("kind = 'password' AND state = 'active'"),
        ),
        Index(
            "uq_factors_one_pending",
            "user_id",
            unique=True,
            sqlite_where=text("kind = 'totp' AND state = 'pending'"),
            postgresql_where=text("kind = 'totp' AND state = 'pending'"),
        ),
        Index("ix_factors_user_id", "user_id", "kind", "state"),
    )

    id: Mapped[Identifier]
    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[Word]
    state: Mapped[Word]
    name: Mapped[str | None] = mapped_column(String(200))
    hash: Mapped[str | None] = mapped_column(Text)
    secret_sealed: Mapped[str | None] = mapped_column(Text)
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[Instant | None]
    created_at: Mapped[Instant]
    confirmed_at: Mapped[Instant | None]
    expires_at: Mapped[Instant | None]


class Login(Base):
    """A login (or, with `session_id`, a step-up) between its first factor and its end. A bearer of nothing but the next step."""

    __tablename__ = "logins"

    id: Mapped[Identifier]
    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), index=True)
    session_id: Mapped[Reference | None] = mapped_column(ForeignKey("sessions.id"))
    token_hash: Mapped[Digest] = mapped_column(unique=True)
    password_at: Mapped[Instant | None]
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    finished_at: Mapped[Instant | None]


class SessionRow(Base):
    """Who is in, how sure, since when. `amr` holds RFC 8176 values; assurance is computed from the instants."""

    __tablename__ = "sessions"

    id: Mapped[Identifier]
    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), index=True)
    amr: Mapped[JsonList]
    password_at: Mapped[Instant | None]
    second_factor_at: Mapped[Instant | None]
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(512))
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant]
    revoked_at: Mapped[Instant | None]
