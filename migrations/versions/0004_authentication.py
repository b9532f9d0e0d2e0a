"""refresh tokens, throttles, recovery codes, next keys, account epochs, the rest of the profile

Columns that older replicas do not know have a default in the database, so that old and new replicas can run at the same time.
No table is rebuilt: SQLite adds and drops these columns in place, and a rebuild would change the stored text of the table.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def added() -> dict[str, tuple[sa.Column[Any], ...]]:
    """Columns by table, created on each call: a column belongs to one table."""
    return {
        "factors": (
            sa.Column("selector", sa.String(length=8), nullable=True),
            sa.Column("imported", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("must_change", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("used_at", types.UtcDateTime(), nullable=True),
        ),
        "logins": (
            sa.Column("auth_epoch", sa.Integer(), server_default="0", nullable=False),
            sa.Column("second_factor_at", types.UtcDateTime(), nullable=True),
            sa.Column("second_factor", sa.String(length=8), nullable=True),
            sa.Column("product", sa.String(length=64), nullable=True),
            sa.Column("device", types.Json, nullable=True),
            sa.Column("device_digest", sa.LargeBinary(length=32), nullable=True),
        ),
        "sessions": (
            sa.Column("auth_epoch", sa.Integer(), server_default="0", nullable=False),
            sa.Column("rev", sa.Integer(), server_default="0", nullable=False),
            sa.Column("product", sa.String(length=64), nullable=True),
            sa.Column("device", types.Json, nullable=True),
            sa.Column("device_digest", sa.LargeBinary(length=32), nullable=True),
            sa.Column("last_seen_at", types.UtcDateTime(), nullable=True),
            sa.Column("idle_expires_at", types.UtcDateTime(), nullable=True),
            sa.Column("revoked_reason", sa.String(length=32), nullable=True),
        ),
        "signing_keys": (
            sa.Column("activated_at", types.UtcDateTime(), nullable=True),
            sa.Column("retired_at", types.UtcDateTime(), nullable=True),
        ),
        "users": (
            sa.Column("region", sa.String(length=3), nullable=True),
            sa.Column("timezone", sa.String(length=64), nullable=True),
            sa.Column("age_band", sa.String(length=32), server_default="unknown", nullable=False),
            sa.Column("preferences", types.Json, server_default="{}", nullable=False),
            sa.Column("auth_epoch", sa.Integer(), server_default="0", nullable=False),
            sa.Column("last_login_at", types.UtcDateTime(), nullable=True),
        ),
    }


def upgrade() -> None:
    op.create_table(
        "throttles",
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("locked_until", types.UtcDateTime(), nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttles")),
    )
    op.create_index(op.f("ix_throttles_expires_at"), "throttles", ["expires_at"])
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.Column("dropped_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_refresh_tokens_session_id_sessions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_refresh_tokens_token_hash")),
    )
    for column in ("expires_at", "parent_id", "session_id"):
        op.create_index(op.f(f"ix_refresh_tokens_{column}"), "refresh_tokens", [column])
    for name, columns in added().items():
        with op.batch_alter_table(name, recreate="never") as table:
            for column_ in columns:
                table.add_column(column_)


def downgrade() -> None:
    op.execute("DELETE FROM factors WHERE kind = 'recovery'")
    op.execute("DELETE FROM signing_keys WHERE state = 'next'")
    for name, columns in reversed(added().items()):
        with op.batch_alter_table(name, recreate="never") as table:
            for column in reversed(columns):
                table.drop_column(column.name)
    op.drop_table("refresh_tokens")
    op.drop_table("throttles")
