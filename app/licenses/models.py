"""Licenses, who may use them, activation codes, and seats."""

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, JsonMap, Reference


class License(Base):
    """One grant. Dates are frozen at issue; `rev` is bumped first by every transaction that changes seats or users (R34)."""

    __tablename__ = "licenses"

    id: Mapped[Identifier]
    policy_id: Mapped[Reference] = mapped_column(ForeignKey("policies.id"), index=True)
    customer_id: Mapped[Reference | None] = mapped_column(ForeignKey("customers.id"), index=True)
    key_hash: Mapped[Digest] = mapped_column(unique=True)
    key_last4: Mapped[str] = mapped_column(String(4), index=True)
    external_id: Mapped[str | None] = mapped_column(String(200), unique=True)
    starts_at: Mapped[Instant]
    expires_at: Mapped[Instant | None] = mapped_column(index=True)
    grace_until: Mapped[Instant | None]
    suspended_at: Mapped[Instant | None]
    revoked_at: Mapped[Instant | None]
    metadata_: Mapped[JsonMap] = mapped_column("metadata")
    rev: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Instant]


class LicenseUser(Base):
    """An end user who may use the license without its key."""

    __tablename__ = "license_users"

    license_id: Mapped[Reference] = mapped_column(ForeignKey("licenses.id"), primary_key=True)
    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    added_at: Mapped[Instant]


class ActivationCode(Base):
    """A short secret that turns into a seat without showing the key."""

    __tablename__ = "activation_codes"

    id: Mapped[Identifier]
    license_id: Mapped[Reference] = mapped_column(ForeignKey("licenses.id"), index=True)
    code_hash: Mapped[Digest] = mapped_column(unique=True)
    max_uses: Mapped[int]
    uses: Mapped[int] = mapped_column(default=0)
    expires_at: Mapped[Instant | None]
    revoked_at: Mapped[Instant | None]
    created_at: Mapped[Instant]


class Activation(Base):
    """A seat, live or past: one row for each (license, device, user) for ever, reused when the device comes back.

    `user_key` is the user's id in text, or empty where the policy does not seat by user, so that NULL does not defeat the key.
    """

    __tablename__ = "activations"
    __table_args__ = (
        UniqueConstraint("license_id", "fingerprint", "user_key"),
        Index("ix_activations_live", "license_id", "released_at", "lease_expires_at"),
    )

    id: Mapped[Identifier]
    license_id: Mapped[Reference] = mapped_column(ForeignKey("licenses.id"))
    user_id: Mapped[Reference | None] = mapped_column(ForeignKey("users.id"), index=True)
    activation_code_id: Mapped[Reference | None] = mapped_column(ForeignKey("activation_codes.id"))
    user_key: Mapped[str] = mapped_column(String(36), default="")
    fingerprint: Mapped[str] = mapped_column(String(512), index=True)
    name: Mapped[str | None] = mapped_column(String(200))
    platform: Mapped[str | None] = mapped_column(String(200))
    app_version: Mapped[str | None] = mapped_column(String(200))
    token_hash: Mapped[Digest] = mapped_column(unique=True)
    token_sealed: Mapped[str] = mapped_column(Text)
    lease_expires_at: Mapped[Instant | None]
    activated_at: Mapped[Instant]
    last_seen_at: Mapped[Instant]
    released_at: Mapped[Instant | None]
    created_at: Mapped[Instant]
