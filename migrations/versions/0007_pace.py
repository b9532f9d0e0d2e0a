"""the kinds of imported password hashes, so that each check takes as long as the slowest stored kind"""

import sqlalchemy as sa
from alembic import op

from app.security.foreign_hashes import read_cost

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEX = "CREATE INDEX ix_factors_form ON factors (form) WHERE form IS NOT NULL"


def upgrade() -> None:
    with op.batch_alter_table("factors", recreate="never") as factors:
        factors.add_column(sa.Column("form", sa.String(length=64), nullable=True))
    # Imported hashes are counted for the first time here, so the index is empty when it is created.
    op.execute(f"-- squawk-ignore require-concurrent-index-creation\n{INDEX}")
    if not op.get_context().as_sql:
        _fill(op.get_bind())


def _fill(bind: sa.Connection) -> None:
    factors = sa.table("factors", *(sa.column(name) for name in ("id", "kind", "state", "imported", "hash", "form")))
    counts = (factors.c.kind == "password", factors.c.state == "active", factors.c.imported.is_(sa.true()))
    for row in bind.execute(sa.select(factors.c.id, factors.c.hash).where(*counts)).all():
        bind.execute(sa.update(factors).where(factors.c.id == row.id).values(form=read_cost(row.hash)))


def downgrade() -> None:
    op.execute("DROP INDEX ix_factors_form")
    with op.batch_alter_table("factors", recreate="never") as factors:
        factors.drop_column("form")
