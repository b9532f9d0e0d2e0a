"""Tables: licenses, their users, activation codes, seats, trials and usage."""

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, JsonMap, Reference, Word


class License(Base):
    """A license. Every transaction that changes its seats, users or usage first increments `rev` (licensing R34).

    Dates, `duration` and `grace` (ISO 8601) are frozen at issue. While `starts_at` is null the clock waits for the first activation,
    which sets the dates from `duration` and `grace`. `overrides` holds the fields that differ from the policy.
    """

    __tablename__ = "licenses"

    id: Mapped[Identifier]
    policy_id: Mapped[Reference] = mapped_column(ForeignKey("policies.id"), index=True)
    customer_id: Mapped[Reference | None] = mapped_column(ForeignKey("customers.id"), index=True)
    key_hash: Mapped[Digest] = mapped_column(unique=True)
    key_last4: Mapped[str] = mapped_column(String(4), index=True)
    external_id: Mapped[str | None] = mapped_column(String(200), unique=True)
    duration: Mapped[Word | None]
    grace: Mapped[Word | None]
    starts_at: Mapped[Instant | None]
    expires_at: Mapped[Instant | None] = mapped_column(index=True)
    grace_until: Mapped[Instant | None]
    suspended_at: Mapped[Instant | None]
    revoked_at: Mapped[Instant | None]
    overrides: Mapped[JsonMap] = mapped_column(server_default="{}")
    metadata_: Mapped[JsonMap] = mapped_column("metadata")
    rev: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Instant]


class LicenseUser(Base):
    """The assignment of an end user, who may use the license without its key."""

    __tablename__ = "license_users"

    license_id: Mapped[Reference] = mapped_column(ForeignKey("licenses.id"), primary_key=True)
    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    added_at: Mapped[Instant]


class ActivationCode(Base):
    """A short secret that a client exchanges for a seat. `email_folded`: only the end user of that address may use it."""

    __tablename__ = "activation_codes"

    id: Mapped[Identifier]
    license_id: Mapped[Reference] = mapped_column(ForeignKey("licenses.id"), index=True)
    code_hash: Mapped[Digest] = mapped_column(unique=True)
    max_uses: Mapped[int]
    uses: Mapped[int] = mapped_column(default=0)
    email: Mapped[str | None] = mapped_column(String(254))
    email_folded: Mapped[str | None] = mapped_column(String(512))
    expires_at: Mapped[Instant | None]
    revoked_at: Mapped[Instant | None]
    created_at: Mapped[Instant]


class Activation(Base):
    """A seat, live or released. One permanent row per (license, device, user), reused when the device activates again.

    `fingerprint` is empty where the seat belongs to a user on any device. `user_key` distinguishes the seats of one device: the user's
    id as text where the policy counts users, the seat's id where every process has a seat, else empty: NULL would defeat the unique key.
    """

    __tablename__ = "activations"
    __table_args__ = (
        UniqueConstraint("license_id", "fingerprint", "user_key"),
        Index(
            "ix_activations_held",
            "license_id",
            "lease_expires_at",
            "user_key",
            sqlite_where=text("released_at IS NULL"),
            postgresql_where=text("released_at IS NULL"),
        ),
        Index(
            "ix_activations_past",
            "released_at",
            sqlite_where=text("released_at IS NOT NULL AND user_key <> ''"),
            postgresql_where=text("released_at IS NOT NULL AND user_key <> ''"),
        ),
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
    release_reason: Mapped[Word | None]
    created_at: Mapped[Instant]


class Trial(Base):
    """The one trial of a product on a device, bound to the license that it started on. `slot` is a digest of product and device."""

    __tablename__ = "trials"

    slot: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    license_id: Mapped[Reference] = mapped_column(ForeignKey("licenses.id"), index=True)
    started_at: Mapped[Instant]


class Usage(Base):
    """The amount that a license used of a meter in one period; `per` is the period's length, `period_start` its start."""

    __tablename__ = "usage"

    license_id: Mapped[Reference] = mapped_column(ForeignKey("licenses.id"), primary_key=True)
    meter: Mapped[str] = mapped_column(String(64), primary_key=True)
    per: Mapped[Word] = mapped_column(primary_key=True)
    period_start: Mapped[Instant] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger)
