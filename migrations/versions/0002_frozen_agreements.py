"""published agreements are frozen and events are insert-only, enforced by the database itself (agreements R3)

On SQLite a table rebuild (batch mode) loses the table's triggers, and fails if another table's trigger names the table. A later
migration of these tables must drop the triggers first and create them afterwards. On PostgreSQL they are ordinary triggers.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PUBLISHED = "EXISTS (SELECT 1 FROM agreement_versions WHERE status = 'published' AND id IN ({ids}))"
_REFUSE = "BEGIN SELECT RAISE(ABORT, 'a published agreement is frozen'); END"

_SQLITE = "CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW {when} " + _REFUSE
_WAS_PUBLISHED = "WHEN OLD.status = 'published'"
_OF_PUBLISHED = "WHEN " + _PUBLISHED.format(ids="OLD.version_id")
_TO_PUBLISHED = "WHEN " + _PUBLISHED.format(ids="OLD.version_id, NEW.version_id")

SQLITE_CREATE = tuple(
    _SQLITE.format(name=name, event=event, table=table, when=when)
    for name, event, table, when in (
        ("agreement_versions_kept", "UPDATE", "agreement_versions", _WAS_PUBLISHED),
        ("agreement_versions_not_deleted", "DELETE", "agreement_versions", _WAS_PUBLISHED),
        ("agreement_texts_kept", "UPDATE", "agreement_texts", _TO_PUBLISHED),
        ("agreement_texts_not_deleted", "DELETE", "agreement_texts", _OF_PUBLISHED),
        ("agreement_events_kept", "UPDATE", "agreement_events", ""),
        ("agreement_events_not_deleted", "DELETE", "agreement_events", ""),
    )
)
SQLITE_DROP = (
    "DROP TRIGGER agreement_events_not_deleted",
    "DROP TRIGGER agreement_events_kept",
    "DROP TRIGGER agreement_texts_not_deleted",
    "DROP TRIGGER agreement_texts_kept",
    "DROP TRIGGER agreement_versions_not_deleted",
    "DROP TRIGGER agreement_versions_kept",
)

_RAISE = "RAISE EXCEPTION 'a published agreement is frozen' USING ERRCODE = 'restrict_violation'"
_TEXT_FUNCTION = f"""
CREATE FUNCTION agreement_text_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF {_PUBLISHED.format(ids="OLD.version_id")} THEN {_RAISE}; END IF;
        RETURN OLD;
    END IF;
    IF {_PUBLISHED.format(ids="OLD.version_id, NEW.version_id")} THEN {_RAISE}; END IF;
    RETURN NEW;
END $$"""
_POSTGRESQL = "CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {function}()"
_EMPTIED = "CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agreement_frozen()"

POSTGRESQL_CREATE = (
    f"CREATE FUNCTION agreement_frozen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_RAISE}; END $$",
    _TEXT_FUNCTION,
    _POSTGRESQL.format(table="agreement_versions", when="WHEN (OLD.status = 'published')", function="agreement_frozen"),
    _POSTGRESQL.format(table="agreement_texts", when="", function="agreement_text_frozen"),
    _POSTGRESQL.format(table="agreement_events", when="", function="agreement_frozen"),
    *(_EMPTIED.format(table=table) for table in ("agreement_versions", "agreement_texts", "agreement_events")),
)
POSTGRESQL_DROP = (
    "DROP TRIGGER agreement_events_not_emptied ON agreement_events",
    "DROP TRIGGER agreement_texts_not_emptied ON agreement_texts",
    "DROP TRIGGER agreement_versions_not_emptied ON agreement_versions",
    "DROP TRIGGER agreement_events_kept ON agreement_events",
    "DROP TRIGGER agreement_texts_kept ON agreement_texts",
    "DROP TRIGGER agreement_versions_kept ON agreement_versions",
    "DROP FUNCTION agreement_text_frozen()",
    "DROP FUNCTION agreement_frozen()",
)


def _run(sqlite: tuple[str, ...], postgresql: tuple[str, ...]) -> None:
    for statement in sqlite if op.get_context().dialect.name == "sqlite" else postgresql:
        op.execute(statement)


def upgrade() -> None:
    _run(SQLITE_CREATE, POSTGRESQL_CREATE)


def downgrade() -> None:
    _run(SQLITE_DROP, POSTGRESQL_DROP)
