"""webhooks: endpoints and their deliveries, which a trigger creates from each event; and two indexes for the audit list

The trigger runs in the transaction that records the event: a rolled-back event is never delivered, and a late commit still is. It costs
no round trip and works for every writer of events, including replicas of earlier releases. On SQLite a rebuild of `events` (batch mode)
loses it: a later migration of that table must create it again.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_PENDING = sa.text("state = 'pending'")
_FITS = "t.value = NEW.type OR (t.value LIKE '%*' AND substr(NEW.type, 1, length(t.value) - 1) = substr(t.value, 1, length(t.value) - 1))"
_FAN_OUT = f"""
    INSERT INTO webhook_deliveries (endpoint_id, event_id, subject_id, state, attempts, tries, created_at, due_at)
    SELECT e.id, NEW.id, NEW.subject_id, 'pending', 0, 0, NEW.at, NEW.at FROM webhook_endpoints e
    WHERE e.disabled_at IS NULL AND EXISTS (SELECT 1 FROM {{types}} WHERE {_FITS});
"""  # noqa: S608  our own names
_TRIGGER = "CREATE TRIGGER events_fanned_out AFTER INSERT ON events FOR EACH ROW WHEN (NEW.type <> 'webhook.test')"
_IN_SQLITE = _FAN_OUT.format(types="json_each(e.types) AS t")
_IN_POSTGRESQL = _FAN_OUT.format(types="jsonb_array_elements_text(e.types) AS t(value)")
SQLITE = (f"{_TRIGGER} BEGIN {_IN_SQLITE} END",)
POSTGRESQL = (
    f"CREATE FUNCTION event_fanned_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_IN_POSTGRESQL} RETURN NULL; END $$",
    f"{_TRIGGER} EXECUTE FUNCTION event_fanned_out()",
)
# Writers of events wait until the indexes exist: seconds for millions of events, once.
INDEXES = ("CREATE INDEX ix_events_at ON events (at)", "CREATE INDEX ix_events_type ON events (type, id)")


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("types", types.Json, nullable=False),
        sa.Column("description", sa.String(length=512), nullable=True),
        sa.Column("secret_sealed", sa.Text(), nullable=False),
        sa.Column("previous_secret_sealed", sa.Text(), nullable=True),
        sa.Column("previous_until", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("disabled_at", types.UtcDateTime(), nullable=True),
        sa.Column("disabled_reason", sa.String(length=32), nullable=True),
        sa.Column("failing_since", types.UtcDateTime(), nullable=True),
        sa.Column("resume_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
        sa.UniqueConstraint("slot", name=op.f("uq_webhook_endpoints_slot")),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("due_at", types.UtcDateTime(), nullable=False),
        sa.Column("claimed_until", types.UtcDateTime(), nullable=True),
        sa.Column("settled_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_status", sa.SmallInteger(), nullable=True),
        sa.Column("last_ms", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(length=32), nullable=True),
        sa.Column("last_excerpt", sa.String(length=512), nullable=True),
        sa.PrimaryKeyConstraint("endpoint_id", "event_id", name=op.f("pk_webhook_deliveries")),
    )
    for name, columns in (("due", ["endpoint_id", "due_at"]), ("line", ["endpoint_id", "subject_id", "event_id"])):
        op.create_index(
            f"ix_webhook_deliveries_{name}", "webhook_deliveries", columns, unique=False, sqlite_where=_PENDING, postgresql_where=_PENDING
        )
    op.create_index("ix_webhook_deliveries_settled_at", "webhook_deliveries", ["settled_at"], unique=False)
    for index in INDEXES:
        op.execute(f"-- squawk-ignore require-concurrent-index-creation\n{index}")
    for statement in SQLITE if op.get_context().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TRIGGER events_fanned_out")
    else:
        op.execute("DROP TRIGGER events_fanned_out ON events")
        op.execute("DROP FUNCTION event_fanned_out()")
    op.drop_index("ix_events_type", table_name="events")
    op.drop_index("ix_events_at", table_name="events")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")
