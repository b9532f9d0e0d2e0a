"""The triggers that keep published agreements frozen (R3) and events insert-only, as SQL for the migrations of both databases.

Each `CREATE` is a tuple of single statements in order, each `DROP` undoes it. On SQLite a table rebuild (batch mode) loses the
table's triggers and fails while another table's trigger names it: a later migration of these tables drops before, creates after.
On PostgreSQL they are ordinary triggers, so a superuser's `session_replication_role = replica` passes by them.
"""

_PUBLISHED = "EXISTS (SELECT 1 FROM agreement_versions WHERE status = 'published' AND id IN ({ids}))"
_REFUSE = "BEGIN SELECT RAISE(ABORT, 'a published agreement is frozen'); END"

SQLITE_CREATE = (
    f"CREATE TRIGGER agreement_versions_kept BEFORE UPDATE ON agreement_versions FOR EACH ROW WHEN OLD.status = 'published' {_REFUSE}",
    "CREATE TRIGGER agreement_versions_not_deleted BEFORE DELETE ON agreement_versions FOR EACH ROW "
    f"WHEN OLD.status = 'published' {_REFUSE}",
    "CREATE TRIGGER agreement_texts_kept BEFORE UPDATE ON agreement_texts FOR EACH ROW "
    f"WHEN {_PUBLISHED.format(ids='OLD.version_id, NEW.version_id')} {_REFUSE}",
    "CREATE TRIGGER agreement_texts_not_deleted BEFORE DELETE ON agreement_texts FOR EACH ROW "
    f"WHEN {_PUBLISHED.format(ids='OLD.version_id')} {_REFUSE}",
    f"CREATE TRIGGER agreement_events_kept BEFORE UPDATE ON agreement_events FOR EACH ROW {_REFUSE}",
    f"CREATE TRIGGER agreement_events_not_deleted BEFORE DELETE ON agreement_events FOR EACH ROW {_REFUSE}",
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

POSTGRESQL_CREATE = (
    f"CREATE FUNCTION agreement_frozen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_RAISE}; END $$",
    "CREATE FUNCTION agreement_text_frozen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"IF TG_OP = 'UPDATE' THEN IF {_PUBLISHED.format(ids='OLD.version_id, NEW.version_id')} THEN {_RAISE}; END IF; RETURN NEW; END IF; "
    f"IF {_PUBLISHED.format(ids='OLD.version_id')} THEN {_RAISE}; END IF; RETURN OLD; END $$",
    "CREATE TRIGGER agreement_versions_kept BEFORE UPDATE OR DELETE ON agreement_versions FOR EACH ROW "
    "WHEN (OLD.status = 'published') EXECUTE FUNCTION agreement_frozen()",
    "CREATE TRIGGER agreement_texts_kept BEFORE UPDATE OR DELETE ON agreement_texts FOR EACH ROW EXECUTE FUNCTION agreement_text_frozen()",
    "CREATE TRIGGER agreement_events_kept BEFORE UPDATE OR DELETE ON agreement_events FOR EACH ROW EXECUTE FUNCTION agreement_frozen()",
)
POSTGRESQL_DROP = (
    "DROP TRIGGER agreement_events_kept ON agreement_events",
    "DROP TRIGGER agreement_texts_kept ON agreement_texts",
    "DROP TRIGGER agreement_versions_kept ON agreement_versions",
    "DROP FUNCTION agreement_text_frozen()",
    "DROP FUNCTION agreement_frozen()",
)
