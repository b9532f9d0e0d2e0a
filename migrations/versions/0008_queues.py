"""turns of the ledger, and an index of undecided presentations"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEX = "CREATE INDEX ix_agreement_presentations_open ON agreement_presentations (expires_at) WHERE decided_at IS NULL"


def upgrade() -> None:
    op.create_table(
        "agreement_turns",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_agreement_turns")),
    )
    # Presentations wait until the index exists: seconds for millions of rows. No row was deleted before this revision.
    op.execute(f"-- squawk-ignore require-concurrent-index-creation\n{INDEX}")


def downgrade() -> None:
    op.execute("DROP INDEX ix_agreement_presentations_open")
    op.drop_table("agreement_turns")
