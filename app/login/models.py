"""Tables for authenticators, pending logins, sessions with their refresh tokens, and attempt counters."""

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, Json, JsonList, Reference, Word


class FactorKind(StrEnum):
    """The kind of a factor."""

    PASSWORD = "password"  # noqa: S105  the name of a kind, not a password
    TOTP = "totp"
    PASSKEY = "passkey"
    RECOVERY = "recovery"


class FactorState(StrEnum):
    """State of a factor.

    `suspect`: a passkey whose counter went backwards, so a copy may exist (WebAuthn Level 3 section 6.1.1).
    """

    PENDING = "pending"
    ACTIVE = "active"
    SUSPECT = "suspect"
    REVOKED = "revoked"


class Factor(Base):
    """A password, authenticator or recovery code of a user, including revoked ones.

    A password has `hash`. A TOTP authenticator has `secret_sealed` and `last_step`, the newest time step that was spent.
    A passkey has `public_key` (COSE, RFC 9052 section 7), `credential_id`, `sign_count` (the last counter value), `transports`,
    `synced` (it can be copied between machines) and `backed_up` (it was).
    A recovery code has `hash`, `selector` (its lookup value) and `used_at` (when it was spent).

    `imported`: the hash came from another system and covers the password exactly as typed; `form` then names its scheme and costs,
    for as long as the hash is in use. `locked_until` is unused since migration 0004 (see `throttles`) and remains for older replicas.
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
    """A pending login, or a pending step-up if `session_id` is set. Its token allows nothing but the next step.

    `passkey` is the kind of key used at `passkey_at` (RFC 8176). `level`: the level that a step-up requires (`aal2` or
    `aal2p`); null for a login.
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
    """A session of an end user. `amr` holds RFC 8176 values; the assurance level is computed from the timestamps.

    `passkey_at`: when a passkey was last used with PIN, fingerprint or face. `let_in_by`: the session that approved this one by device
    grant and whose proofs were copied; null after a step-up.
    `auth_epoch` is the user's value at login; when the user's value rises, older sessions become invalid (authentication R59).
    `rev` is incremented to serialise rotations of the refresh token. `product` and `device` are reported by the application.
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
    """One token in a session's chain (authentication R57). `used_at`: exchanged. `dropped_at`: replaced before it was exchanged.

    `parent_id` is not a foreign key, because it outlives the parent row, which is deleted after it expires.
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
