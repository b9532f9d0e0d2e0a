"""Factors, unfinished logins, sessions with their refresh tokens, and the counters that slow guessing down."""

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, Json, JsonList, Reference, Word


class FactorKind(StrEnum):
    PASSWORD = "password"  # noqa: S105  the name of a kind, not a password
    TOTP = "totp"
    PASSKEY = "passkey"
    RECOVERY = "recovery"


class FactorState(StrEnum):
    """`suspect` is a passkey whose counter went back: there may be a copy of it (WebAuthn Level 3 section 6.1.1)."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPECT = "suspect"
    REVOKED = "revoked"


class Factor(Base):
    """An authenticator, also a dead one. A password has `hash`; a TOTP device has `secret_sealed` and the `last_step` it spent.

    A passkey has the `public_key` (COSE, RFC 9052 section 7) of its `credential_id`, the counter that it showed last, the transports by
    which it is reached, whether it can leave its device (`synced`) and whether it did (`backed_up`).
    A recovery code has a `hash` and the `selector` that finds it; `used_at` is when it was spent. `imported`: the hash came from
    another system, over the password as it was typed there; `form` is then its scheme and costs, while it counts.
    `locked_until` is not used since 0004 (see `throttles`); it stays for replicas of before.
    """

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
        Index("uq_factors_credential_id", "credential_id", unique=True),
        Index("ix_factors_form", "form", sqlite_where=text("form IS NOT NULL"), postgresql_where=text("form IS NOT NULL")),
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
    selector: Mapped[str | None] = mapped_column(String(8))
    imported: Mapped[bool] = mapped_column(default=False, server_default=false())
    form: Mapped[str | None] = mapped_column(String(64))
    must_change: Mapped[bool] = mapped_column(default=False, server_default=false())
    credential_id: Mapped[bytes | None] = mapped_column(LargeBinary(1023))
    public_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    sign_count: Mapped[int | None] = mapped_column(BigInteger)
    transports: Mapped[list[Any] | None] = mapped_column(Json)
    synced: Mapped[bool | None]
    backed_up: Mapped[bool | None]
    created_at: Mapped[Instant]
    confirmed_at: Mapped[Instant | None]
    used_at: Mapped[Instant | None]
    expires_at: Mapped[Instant | None]


class Login(Base):
    """A login (or, with `session_id`, a step-up) between its first factor and its end. A bearer of nothing but the next step.

    `passkey` is what kind of key was shown at `passkey_at` (RFC 8176); `level` is what a step-up was asked for, where that is more than
    any second factor gives.
    """

    __tablename__ = "logins"

    id: Mapped[Identifier]
    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), index=True)
    session_id: Mapped[Reference | None] = mapped_column(ForeignKey("sessions.id"), index=True)
    token_hash: Mapped[Digest] = mapped_column(unique=True)
    auth_epoch: Mapped[int] = mapped_column(default=0, server_default="0")
    password_at: Mapped[Instant | None]
    second_factor_at: Mapped[Instant | None]
    second_factor: Mapped[str | None] = mapped_column(String(8))
    passkey_at: Mapped[Instant | None]
    passkey: Mapped[str | None] = mapped_column(String(8))
    level: Mapped[str | None] = mapped_column(String(8))
    product: Mapped[str | None] = mapped_column(String(64))
    device: Mapped[dict[str, Any] | None] = mapped_column(Json)
    device_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    finished_at: Mapped[Instant | None]


class SessionRow(Base):
    """Who is in, how sure, since when. `amr` holds RFC 8176 values; assurance is computed from the instants.

    `passkey_at` is when a passkey was last shown together with its user's PIN, fingerprint or face. `let_in_by`: the session that let
    this one in by a short code; until it has shown something itself, what it is sure of is the other's.
    A session is of the `auth_epoch` that its user had; when the user's rises, every older session is dead (authentication R59). `rev` is bumped
    by whoever rotates its refresh token, so that they take turns. `product` and `device` are what the application said.
    """

    __tablename__ = "sessions"

    id: Mapped[Identifier]
    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), index=True)
    amr: Mapped[JsonList]
    password_at: Mapped[Instant | None]
    second_factor_at: Mapped[Instant | None]
    passkey_at: Mapped[Instant | None]
    let_in_by: Mapped[Reference | None]
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(512))
    auth_epoch: Mapped[int] = mapped_column(default=0, server_default="0")
    rev: Mapped[int] = mapped_column(default=0, server_default="0")
    product: Mapped[str | None] = mapped_column(String(64))
    device: Mapped[dict[str, Any] | None] = mapped_column(Json)
    device_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    created_at: Mapped[Instant]
    last_seen_at: Mapped[Instant | None]
    idle_expires_at: Mapped[Instant | None]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    revoked_at: Mapped[Instant | None]
    revoked_reason: Mapped[str | None] = mapped_column(String(32))


class RefreshToken(Base):
    """One link of a session's chain (authentication R57). Spent when it was exchanged, dropped when a twin took the place of an unspent one.

    `parent_id` outlives its row, which is swept when it is past its time; so it is no foreign key.
    """

    __tablename__ = "refresh_tokens"

    id: Mapped[Identifier]
    session_id: Mapped[Reference] = mapped_column(ForeignKey("sessions.id"), index=True)
    parent_id: Mapped[Reference | None] = mapped_column(index=True)
    token_hash: Mapped[Digest] = mapped_column(unique=True)
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    used_at: Mapped[Instant | None]
    dropped_at: Mapped[Instant | None]
