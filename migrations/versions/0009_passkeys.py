"""passkeys: credentials of factors, user handles, the time of the last use, and pending challenges"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ADDED = {
    "factors": (
        ("credential_id", sa.LargeBinary(length=1023)),
        ("public_key", sa.LargeBinary()),
        ("sign_count", sa.BigInteger()),
        ("transports", types.Json),
        ("synced", sa.Boolean()),
        ("backed_up", sa.Boolean()),
    ),
    "users": (("handle", sa.LargeBinary(length=64)),),
    "sessions": (("passkey_at", types.UtcDateTime()),),
    "logins": (("passkey_at", types.UtcDateTime()), ("passkey", sa.String(length=8)), ("level", sa.String(length=8))),
}
# A new column is null in every row: creating the index takes one read of the table.
UNIQUE = {"factors": "credential_id", "users": "handle"}


def upgrade() -> None:
    for table, columns in ADDED.items():
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True))
    for table, column in UNIQUE.items():
        unique = f"CREATE UNIQUE INDEX uq_{table}_{column} ON {table} ({column})"
        op.execute(f"-- squawk-ignore require-concurrent-index-creation\n{unique}")
    op.create_table(
        "passkey_ceremonies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("challenge_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("login_id", sa.Uuid(), nullable=True),
        sa.Column("product", sa.String(length=64), nullable=True),
        sa.Column("device", types.Json, nullable=True),
        sa.Column("device_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_passkey_ceremonies_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkey_ceremonies")),
        sa.UniqueConstraint("challenge_hash", name=op.f("uq_passkey_ceremonies_challenge_hash")),
    )
    op.create_index(op.f("ix_passkey_ceremonies_user_id"), "passkey_ceremonies", ["user_id"])
    op.create_index(op.f("ix_passkey_ceremonies_expires_at"), "passkey_ceremonies", ["expires_at"])


def downgrade() -> None:
    op.drop_table("passkey_ceremonies")
    for table, column in UNIQUE.items():
        op.execute(f"DROP INDEX uq_{table}_{column}")
    for table, columns in ADDED.items():
        with op.batch_alter_table(table, recreate="never") as batch:
            for name, _ in reversed(columns):
                batch.drop_column(name)
