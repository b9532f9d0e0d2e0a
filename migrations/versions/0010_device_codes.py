"""device grants: approval of an application by a short code (RFC 8628)"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("let_in_by", sa.Uuid(), nullable=True))
    op.create_table(
        "device_codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("device_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("product", sa.String(length=64), nullable=True),
        sa.Column("device", types.Json, nullable=True),
        sa.Column("device_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("ip", sa.String(length=64), nullable=True),
        sa.Column("user_agent", sa.String(length=512), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("claimed_session_id", sa.Uuid(), nullable=True),
        sa.Column("auth_epoch", sa.Integer(), nullable=True),
        sa.Column("amr", types.Json, nullable=True),
        sa.Column("password_at", types.UtcDateTime(), nullable=True),
        sa.Column("second_factor_at", types.UtcDateTime(), nullable=True),
        sa.Column("passkey_at", types.UtcDateTime(), nullable=True),
        sa.Column("interval", sa.Integer(), nullable=False),
        sa.Column("last_poll", sa.BigInteger(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("decided_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_device_codes_user_id_users")),
        sa.ForeignKeyConstraint(["claimed_session_id"], ["sessions.id"], name=op.f("fk_device_codes_claimed_session_id_sessions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_codes")),
        sa.UniqueConstraint("device_hash", name=op.f("uq_device_codes_device_hash")),
        sa.UniqueConstraint("user_hash", name=op.f("uq_device_codes_user_hash")),
    )
    for column in ("user_id", "expires_at"):
        op.create_index(f"ix_device_codes_{column}", "device_codes", [column], unique=False)


def downgrade() -> None:
    op.drop_table("device_codes")
    with op.batch_alter_table("sessions", recreate="never") as sessions:
        sessions.drop_column("let_in_by")
