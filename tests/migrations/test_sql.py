"""squawk checks each revision's SQL for PostgreSQL, as `alembic upgrade --sql` prints it: no busy table is locked for long."""

import re
import subprocess
import sys
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from alembic import command

from app.db import revision as schema
from tests.migrations import trees

DISABLED = {
    "prefer-text-field": "Lengths are the limits of the API; widening a varchar does not touch the table, and none is narrowed.",
    "prefer-bigint-over-int": "Identifiers are UUIDs; integers are limits and counts, which the API keeps below 2^31.",
    "prefer-bigint-over-smallint": "An HTTP status has three digits.",
    "ban-drop-not-null": "An older replica never writes such a null, and at worst returns 500 for it.",
    "require-statement-timeout": "Operators decide how long a statement may run; only the wait for a lock affects others.",
}
TAKES_AWAY = re.compile(r"\bDROP (TABLE|COLUMN)\b|\bRENAME\b|\bALTER COLUMN \S+ (TYPE|SET NOT NULL)\b", re.IGNORECASE)
SQUAWK = Path(sys.executable).with_name("squawk")
REVISIONS = trees.revisions()


def statements(after: str, revision: str) -> str:
    """Return the SQL of one revision only: next to the creation of its tables, a later change of them would look harmless."""
    config = schema.alembic_config("postgresql+asyncpg://nobody@/nothing")
    config.output_buffer = StringIO()
    command.upgrade(config, f"{after}:{revision}", sql=True)
    return config.output_buffer.getvalue()


def faults(sql: str) -> str:
    """Return the output of squawk; empty if it passes."""
    line = [str(SQUAWK), "--pg-version=14", f"--exclude={','.join(DISABLED)}", "--reporter=gcc", "--stdin-filepath=upgrade.sql"]
    done = subprocess.run(line, input=sql, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize(("after", "revision"), list(pairwise(["base", *REVISIONS])))
def test_a_revision_passes_the_linter(after: str, revision: str) -> None:
    """No rewrite, no long lock, no index that stops writes, on tables that exist."""
    assert faults(statements(after, revision)) == ""


@pytest.mark.parametrize(
    "careless",
    [
        "ALTER TABLE users ADD COLUMN shoe_size bigint NOT NULL;",
        "CREATE INDEX ix_users_locale ON users (locale);",
        "ALTER TABLE users RENAME COLUMN email TO mail;",
        "ALTER TABLE users ALTER COLUMN email TYPE text;",
        "ALTER TABLE users DROP COLUMN locale;",
        "DROP TABLE throttles;",
        "ALTER TABLE users ALTER COLUMN locale SET NOT NULL;",
    ],
)
def test_a_careless_statement_is_found(careless: str) -> None:
    """The linter still works with the disabled rules."""
    assert "upgrade.sql" in faults(f"BEGIN; SET LOCAL lock_timeout = '5s'; {careless} COMMIT;")


def is_undeclared(revision: str, sql: str) -> bool:
    """Tell whether a revision removes what earlier releases use without declaring it (app/db/revision.py)."""
    declared = re.search(rf"INSERT INTO schema_contractions .*'{revision}'", sql)
    return TAKES_AWAY.search(sql) is not None and declared is None


def test_a_contraction_declares_itself() -> None:
    """Since the table for it exists. Earlier replicas then report that they are not ready, instead of failing call by call."""
    sql_by_revision = {revision: statements(after, revision) for after, revision in pairwise(["base", *REVISIONS])}
    since = next(number for number, sql in enumerate(sql_by_revision.values()) if "CREATE TABLE schema_contractions" in sql)
    assert [revision for revision in REVISIONS[since:] if is_undeclared(revision, sql_by_revision[revision])] == []


@pytest.mark.parametrize("change", ["DROP COLUMN locale", "RENAME COLUMN locale TO tongue", "ALTER COLUMN locale TYPE text"])
def test_an_undeclared_contraction_is_found(change: str) -> None:
    careless = f"ALTER TABLE users {change};"
    assert is_undeclared("0099", careless)
    assert not is_undeclared("0099", careless + " INSERT INTO schema_contractions (revision) VALUES ('0099');")  # noqa: S608  text for the rule, never executed


def test_printed_statements_limit_the_wait_for_a_lock() -> None:
    """Operators who run them by hand get the same limit as `migrate`: a queue behind one lock would stop the service."""
    assert "lock_timeout" in statements("base", REVISIONS[0]).partition("CREATE")[0]
