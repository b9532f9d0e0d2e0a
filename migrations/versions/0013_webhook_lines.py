"""webhooks: deliveries are queued by subject and only the first of a queue is due; an end user's agreements have their own queue

Claims find deliveries by their due time, so a queue of many thousands costs no more than one of a single delivery. Deliveries behind
the first are due at the end of time; when the first is finished, the next becomes due. The trigger locks the first (FOR SHARE), so that
a delivery that finishes and an event that is recorded at the same time see each other. Earlier releases also work with these rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_BEHIND = {"sqlite": "'9999-12-31 00:00:00.000000'", "postgresql": "TIMESTAMPTZ '9999-12-31 00:00:00+00'"}
_TYPES = {"sqlite": "json_each(e.types) AS t", "postgresql": "jsonb_array_elements_text(e.types) AS t(value)"}
_HELD = {"sqlite": "", "postgresql": " FOR SHARE"}
_FITS = "t.value = NEW.type OR (t.value LIKE '%*' AND substr(NEW.type, 1, length(t.value) - 1) = substr(t.value, 1, length(t.value) - 1))"
_TRIGGER = "CREATE TRIGGER events_fanned_out AFTER INSERT ON events FOR EACH ROW WHEN (NEW.type <> 'webhook.test')"
_INTO = "INSERT INTO webhook_deliveries (endpoint_id, event_id, subject_id, state, attempts, tries, created_at, due_at)"


def _line(event: str) -> str:
    """SQL for the subject of the queue: a failed delivery about one end user's agreement must not delay other users."""
    return f"CASE WHEN {event}.subject_type = 'agreement' AND {event}.user_id IS NOT NULL THEN {event}.user_id ELSE {event}.subject_id END"


def _fan_out(spoken: str) -> str:
    first = f"""SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.subject_id = {_line("NEW")}
        AND d.state = 'pending' LIMIT 1{_HELD[spoken]}"""  # noqa: S608  our own names
    return f"""{_INTO} SELECT e.id, NEW.id, {_line("NEW")}, 'pending', 0, 0, NEW.at,
        CASE WHEN EXISTS ({first}) THEN {_BEHIND[spoken]} ELSE NEW.at END
        FROM webhook_endpoints e WHERE e.disabled_at IS NULL AND EXISTS (SELECT 1 FROM {_TYPES[spoken]} WHERE {_FITS});"""  # noqa: S608


def _fan_out_of_before(spoken: str) -> str:
    return f"""{_INTO} SELECT e.id, NEW.id, NEW.subject_id, 'pending', 0, 0, NEW.at, NEW.at FROM webhook_endpoints e
        WHERE e.disabled_at IS NULL AND EXISTS (SELECT 1 FROM {_TYPES[spoken]} WHERE {_FITS});"""  # noqa: S608


def _tell_by(spoken: str, fan_out: str) -> None:
    if spoken == "sqlite":
        op.execute("DROP TRIGGER events_fanned_out")
        op.execute(f"{_TRIGGER} BEGIN {fan_out} END")
    else:
        body = f"BEGIN {fan_out} RETURN NULL; END"
        op.execute(f"CREATE OR REPLACE FUNCTION event_fanned_out() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")


def upgrade() -> None:
    spoken = op.get_context().dialect.name
    op.execute(
        sa.text(
            "UPDATE webhook_deliveries SET subject_id = (SELECT e.user_id FROM events e WHERE e.id = webhook_deliveries.event_id)"
            " WHERE state = 'pending' AND event_id IN (SELECT id FROM events WHERE subject_type = 'agreement' AND user_id IS NOT NULL)"
        )
    )
    op.execute(
        f"UPDATE webhook_deliveries SET due_at = {_BEHIND[spoken]} WHERE state = 'pending' AND EXISTS (SELECT 1 FROM webhook_deliveries d"  # noqa: S608
        " WHERE d.endpoint_id = webhook_deliveries.endpoint_id AND d.subject_id = webhook_deliveries.subject_id AND d.state = 'pending'"
        " AND d.event_id < webhook_deliveries.event_id)"
    )
    _tell_by(spoken, _fan_out(spoken))


def downgrade() -> None:
    spoken = op.get_context().dialect.name
    _tell_by(spoken, _fan_out_of_before(spoken))
    op.execute(f"UPDATE webhook_deliveries SET due_at = created_at WHERE due_at = {_BEHIND[spoken]}")  # noqa: S608
