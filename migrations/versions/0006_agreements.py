"""agreements: cancelled versions, frozen HTML and plain text, regions, withdrawals and notices, imports, seals over the ledger

The triggers of 0002 would refuse the data changes below and do not know cancelled versions: they are dropped first and created again
at the end. Existing events and texts get the values that their receipts and bodies contain.
"""

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op

from app.agreements import rendering
from app.db import types

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MESSAGE = "a published agreement is frozen"
_HELD = "EXISTS (SELECT 1 FROM agreement_versions WHERE {states} AND id IN ({ids}))"
_KEPT_COLUMNS = (
    "id",
    "document_id",
    "ordinal",
    "label",
    "change_class",
    "effective_at",
    "grace_until",
    "published_at",
    "published_by",
    "created_at",
)
BEFORE, AFTER = "status = 'published'", "status <> 'draft'"


def _may_be_cancelled(same: str) -> str:
    """The only allowed change of a published version: cancel it, with no other change and before any decision on it (agreements R5)."""
    unchanged = " AND ".join(f"NEW.{name} {same} OLD.{name}" for name in _KEPT_COLUMNS)
    unused = "NOT EXISTS (SELECT 1 FROM agreement_events WHERE version_id = OLD.id)"
    return f"OLD.status = 'published' AND NEW.status = 'cancelled' AND {unchanged} AND {unused}"


def _sqlite(name: str, event: str, table: str, when: str = "") -> str:
    return f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW {when} BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END"


def _sqlite_triggers(states: str, versions_kept: str) -> Iterator[str]:
    old, both = (_HELD.format(states=states, ids=ids) for ids in ("OLD.version_id", "OLD.version_id, NEW.version_id"))
    yield _sqlite("agreement_versions_kept", "UPDATE", "agreement_versions", f"WHEN {versions_kept}")
    yield _sqlite("agreement_versions_not_deleted", "DELETE", "agreement_versions", f"WHEN OLD.{states}")
    yield _sqlite("agreement_texts_kept", "UPDATE", "agreement_texts", f"WHEN {both}")
    yield _sqlite("agreement_texts_not_deleted", "DELETE", "agreement_texts", f"WHEN {old}")
    yield _sqlite("agreement_events_kept", "UPDATE", "agreement_events")
    yield _sqlite("agreement_events_not_deleted", "DELETE", "agreement_events")


_SQLITE_NAMES = tuple(
    f"agreement_{name}"
    for name in ("versions_kept", "versions_not_deleted", "texts_kept", "texts_not_deleted", "events_kept", "events_not_deleted")
)
_SQLITE_SEALS = tuple(
    (f"{table}_{name}", event, table)
    for table in ("agreement_seals", "agreement_seal_items")
    for name, event in (("kept", "UPDATE"), ("not_deleted", "DELETE"))
)
_SAME_TEXT = "t.id = NEW.id OR (t.version_id = NEW.version_id AND t.locale = NEW.locale)"
_SAME_VERSION = "id = NEW.id OR (document_id = NEW.document_id AND ordinal = NEW.ordinal)"
_SAME_EVENT = "id = NEW.id OR (user_id = NEW.user_id AND seq = NEW.seq) OR presentation_id = NEW.presentation_id"
_TO_CANCELLED = "EXISTS (SELECT 1 FROM agreement_versions WHERE id = NEW.version_id AND status = 'cancelled')"
_OF_HELD = f"agreement_texts t JOIN agreement_versions v ON v.id = t.version_id WHERE ({_SAME_TEXT}) AND v.status <> 'draft'"
_HELD_VERSION = f"SELECT 1 FROM agreement_versions WHERE ({_SAME_VERSION}) AND status <> 'draft'"  # noqa: S608  our own words
_HELD_EVENT = f"SELECT 1 FROM agreement_events WHERE {_SAME_EVENT}"  # noqa: S608  our own words
_HELD_TEXT = f"SELECT 1 FROM {_OF_HELD}"  # noqa: S608  our own words
_SQLITE_REPLACED = (
    # `INSERT OR REPLACE` deletes without running delete triggers, unless the connection enables recursive triggers.
    ("agreement_texts_not_replaced", "agreement_texts", f"EXISTS ({_HELD_TEXT}) OR {_TO_CANCELLED}"),
    ("agreement_versions_not_replaced", "agreement_versions", f"EXISTS ({_HELD_VERSION})"),
    ("agreement_events_not_replaced", "agreement_events", f"EXISTS ({_HELD_EVENT})"),
)
_RAISE = f"RAISE EXCEPTION '{_MESSAGE}' USING ERRCODE = 'restrict_violation'"
_ROWS = "CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {function}()"
_EMPTIED = "CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agreement_frozen()"
_TABLES = ("agreement_versions", "agreement_texts", "agreement_events")


def _text_function(states: str) -> str:
    return f"""
CREATE OR REPLACE FUNCTION agreement_text_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF {_HELD.format(states=states, ids="OLD.version_id")} THEN {_RAISE}; END IF;
        RETURN OLD;
    END IF;
    IF {_HELD.format(states=states, ids="OLD.version_id, NEW.version_id")} THEN {_RAISE}; END IF;
    RETURN NEW;
END $$"""


_ADDED_FUNCTION = f"""
CREATE FUNCTION agreement_text_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {_TO_CANCELLED} THEN {_RAISE}; END IF;
    RETURN NEW;
END $$"""
_ADDED = "CREATE TRIGGER agreement_texts_added BEFORE INSERT ON agreement_texts FOR EACH ROW EXECUTE FUNCTION agreement_text_added()"


def _version_function() -> str:
    return f"""
CREATE FUNCTION agreement_version_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF {_may_be_cancelled("IS NOT DISTINCT FROM")} THEN RETURN NEW; END IF;
    END IF;
    {_RAISE};
END $$"""


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def _freeze() -> None:
    if _is_sqlite():
        for statement in _sqlite_triggers(AFTER, f"OLD.{AFTER} AND NOT ({_may_be_cancelled('IS')})"):
            op.execute(statement)
        for name, event, table in _SQLITE_SEALS:
            op.execute(_sqlite(name, event, table))
        for name, table, when in _SQLITE_REPLACED:
            op.execute(_sqlite(name, "INSERT", table, f"WHEN {when}"))
        return
    op.execute(_version_function())
    op.execute(_text_function(AFTER))
    op.execute(_ADDED_FUNCTION)
    op.execute(_ADDED)
    versions = {"table": "agreement_versions", "when": f"WHEN (OLD.{AFTER})", "function": "agreement_version_frozen"}
    op.execute(_ROWS.format(**versions))
    _postgresql_rows(("agreement_seals", "agreement_frozen"), ("agreement_seal_items", "agreement_frozen"))
    for table in ("agreement_seals", "agreement_seal_items"):
        op.execute(_EMPTIED.format(table=table))


def _postgresql_rows(*triggers: tuple[str, str]) -> None:
    for table, function in (("agreement_texts", "agreement_text_frozen"), ("agreement_events", "agreement_frozen"), *triggers):
        op.execute(_ROWS.format(table=table, when="", function=function))


def _thaw() -> None:
    names = _SQLITE_NAMES if _is_sqlite() else [f"{table}_kept ON {table}" for table in _TABLES]
    for name in names:
        op.execute(f"DROP TRIGGER {name}")


def _freeze_as_before() -> None:
    if _is_sqlite():
        for statement in _sqlite_triggers(BEFORE, f"OLD.{BEFORE}"):
            op.execute(statement)
        return
    op.execute("DROP FUNCTION agreement_version_frozen()")
    op.execute(_text_function(BEFORE))
    versions = {"table": "agreement_versions", "when": f"WHEN (OLD.{BEFORE})", "function": "agreement_frozen"}
    op.execute(_ROWS.format(**versions))
    _postgresql_rows()


def added() -> dict[str, tuple[sa.Column[Any], ...]]:
    """Columns by table, created on each call: a column belongs to one table."""
    return {
        "agreement_documents": (
            sa.Column("required_locales", types.Json, server_default="[]", nullable=False),
            sa.Column("minors", sa.String(length=32), server_default="allow", nullable=False),
        ),
        "agreement_events": (
            sa.Column("actor_type", sa.String(length=32), server_default="user", nullable=False),
            sa.Column("actor_id", sa.Uuid(), nullable=True),
            sa.Column("amr", sa.String(length=512), nullable=True),
            sa.Column("fallback", sa.String(length=32), nullable=True),
        ),
        "agreement_ledgers": (sa.Column("legal_hold", sa.Boolean(), server_default=sa.false(), nullable=False),),
        "agreement_presentations": (
            sa.Column("served_sha256", sa.String(length=64), nullable=True),
            sa.Column("session_id", sa.Uuid(), nullable=True),
        ),
        "agreement_states": (
            sa.Column("notified_ordinal", sa.Integer(), server_default="0", nullable=False),
            sa.Column("withdrawn_at", types.UtcDateTime(), nullable=True),
        ),
        "agreement_texts": (
            sa.Column("html", sa.Text(), nullable=True),
            sa.Column("html_sha256", sa.String(length=64), nullable=True),
            sa.Column("plain", sa.Text(), nullable=True),
            sa.Column("plain_sha256", sa.String(length=64), nullable=True),
        ),
        "agreement_versions": (
            sa.Column("published_by", sa.Uuid(), nullable=True),
            sa.Column("cancelled_at", types.UtcDateTime(), nullable=True),
        ),
    }


def upgrade() -> None:
    _thaw()
    _create_tables()
    for name, columns in added().items():
        with op.batch_alter_table(name, recreate="never") as table:
            for column in columns:
                table.add_column(column)
    _widen_region(6, 3)
    if not op.get_context().as_sql:
        _fill_texts(op.get_bind())
        _fill_events(op.get_bind())
    _freeze()


def _create_tables() -> None:
    op.create_table(
        "agreement_seals",
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("prev_sha256", sa.String(length=64), nullable=True),
        sa.Column("sealed_at", types.UtcDateTime(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.Column("seal_sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_agreement_seals")),
    )
    op.create_table(
        "agreement_seal_items",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("seal_n", sa.Integer(), nullable=False),
        sa.Column("leaf", sa.Integer(), nullable=False),
        sa.Column("leaf_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["seal_n"], ["agreement_seals.n"], name=op.f("fk_agreement_seal_items_seal_n_agreement_seals")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_agreement_seal_items")),
        sa.UniqueConstraint("seal_n", "leaf", name=op.f("uq_agreement_seal_items_seal_n_leaf")),
    )
    op.create_table(
        "agreement_imports",
        sa.Column("external_ref", sa.String(length=200), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["agreement_events.id"], name=op.f("fk_agreement_imports_event_id_agreement_events")),
        sa.PrimaryKeyConstraint("external_ref", name=op.f("pk_agreement_imports")),
        sa.UniqueConstraint("event_id", name=op.f("uq_agreement_imports_event_id")),
    )


def _widen_region(to: int, was: int) -> None:
    """A region may be a subdivision (ISO 3166-2: `CA-QC`). PostgreSQL widens a varchar without touching a row."""
    if not _is_sqlite():
        op.execute(f"-- squawk-ignore changing-column-type\nALTER TABLE users ALTER COLUMN region TYPE varchar({to})")
        return
    with op.batch_alter_table("users") as users:
        users.alter_column("region", existing_type=sa.String(length=was), type_=sa.String(length=to), existing_nullable=True)


def _fill_texts(bind: sa.Connection) -> None:
    texts = sa.table(
        "agreement_texts", *(sa.column(name) for name in ("id", "locale", "body", "html", "html_sha256", "plain", "plain_sha256"))
    )
    published = sa.text(f"version_id IN (SELECT id FROM agreement_versions WHERE {BEFORE})")  # noqa: S608  our own words
    for row in bind.execute(sa.select(texts.c.id, texts.c.locale, texts.c.body).where(published)).all():
        html, plain = rendering.render_html(row.body, row.locale), rendering.render_plain(row.body)
        digests = {"html_sha256": sha256(html.encode()).hexdigest(), "plain_sha256": sha256(plain.encode()).hexdigest()}
        bind.execute(sa.update(texts).where(texts.c.id == row.id).values(html=html, plain=plain, **digests))


def _fill_events(bind: sa.Connection) -> None:
    events = sa.table("agreement_events", *(sa.column(name) for name in ("id", "user_id", "actor_id", "receipt", "amr", "fallback")))
    for row in bind.execute(sa.select(events.c.id, events.c.user_id, events.c.receipt)).all():
        payload = row.receipt.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        values = {"amr": " ".join(claims["amr"]), "fallback": claims["fallback"], "actor_id": row.user_id}
        bind.execute(sa.update(events).where(events.c.id == row.id).values(values))


def downgrade() -> None:
    if _is_sqlite():
        for name, _, _ in (*_SQLITE_SEALS, *_SQLITE_REPLACED):
            op.execute(f"DROP TRIGGER {name}")
    else:
        op.execute("DROP TRIGGER agreement_texts_added ON agreement_texts")
        op.execute("DROP FUNCTION agreement_text_added()")
    _thaw()
    op.execute("UPDATE agreement_versions SET status = 'draft', ordinal = NULL WHERE status = 'cancelled'")
    op.execute("UPDATE users SET region = substr(region, 1, 2) WHERE length(region) > 3")
    _widen_region(3, 6)
    for name, columns in reversed(added().items()):
        with op.batch_alter_table(name, recreate="never") as table:
            for column in reversed(columns):
                table.drop_column(column.name)
    for name in ("agreement_imports", "agreement_seal_items", "agreement_seals"):
        op.drop_table(name)
    _freeze_as_before()
