"""turns that are taken in the ledger, and an index of the presentations that were never decided"""

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
    # Whoever shows a text waits until it is made: seconds for millions of rows, for nothing is ever deleted before this revision.
    op.execute(f"-- squawk-ignore require-concurrent-index-creation\n{INDEX}")


def downgrade() -> None:
    op.execute("DROP INDEX ix_agreement_presentations_open")
    op.drop_table("agreement_turns")
