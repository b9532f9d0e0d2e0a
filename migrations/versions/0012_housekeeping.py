"""indexes for housekeeping, declarations of contracting migrations, and operator keys that are replaced without a gap"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_events_type_at": "events (type, at)",
    "ix_logins_session_id": "logins (session_id)",
    "ix_sessions_expires_at": "sessions (expires_at)",
    "ix_activations_past": "activations (released_at) WHERE released_at IS NOT NULL AND user_key <> ''",
}


def upgrade() -> None:
    op.create_table(
        "schema_contractions",
        sa.Column("revision", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_schema_contractions")),
    )
    with op.batch_alter_table("api_keys", recreate="never") as keys:
        keys.add_column(sa.Column("replaced_by", sa.Uuid(), nullable=True))
        keys.add_column(sa.Column("last_used_at", types.UtcDateTime(), nullable=True))
    for name, what in INDEXES.items():
        # Writers wait while the indexes are created: some seconds for each million rows. Without one transaction for all of it, a
        # migration that fails half way would leave a part of its changes.
        op.execute(f"-- squawk-ignore require-concurrent-index-creation\nCREATE INDEX {name} ON {what}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    with op.batch_alter_table("api_keys", recreate="never") as keys:
        keys.drop_column("last_used_at")
        keys.drop_column("replaced_by")
    op.drop_table("schema_contractions")
