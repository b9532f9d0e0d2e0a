"""The statements for PostgreSQL, as `alembic upgrade --sql` prints them, lock no busy table for long: squawk reads every revision."""

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

WITHOUT = {
    "prefer-text-field": "Lengths are the wire's own limits; a varchar is widened without touching the table, and none shrinks.",
    "prefer-bigint-over-int": "Identifiers are UUIDs; whole numbers are limits and counts that the edge keeps below 2^31.",
    "prefer-bigint-over-smallint": "An HTTP status has three digits.",
    "ban-drop-not-null": "An older replica never makes the kind of row that has a null there, and answers 500 for it at worst.",
    "require-statement-timeout": "How long a statement runs is the operator's affair; what hurts others is the wait for a lock.",
}
TAKES_AWAY = re.compile(r"\bDROP (TABLE|COLUMN)\b|\bRENAME\b|\bALTER COLUMN \S+ (TYPE|SET NOT NULL)\b", re.IGNORECASE)
SQUAWK = Path(sys.executable).with_name("squawk")
REVISIONS = trees.revisions()


def statements(after: str, revision: str) -> str:
    """One revision alone: in one text with the creation of its tables, a later change of them would pass for harmless."""
    config = schema.alembic_config("postgresql+asyncpg://nobody@/nothing")
    config.output_buffer = StringIO()
    command.upgrade(config, f"{after}:{revision}", sql=True)
    return config.output_buffer.getvalue()


def faults(sql: str) -> str:
    """What squawk says; empty when it passes."""
    line = [str(SQUAWK), "--pg-version=14", f"--exclude={','.join(WITHOUT)}", "--reporter=gcc", "--stdin-filepath=upgrade.sql"]
    told = subprocess.run(line, input=sql, capture_output=True, text=True, check=False)
    return told.stdout + told.stderr if told.returncode else ""


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
def test_a_careless_statement_is_seen(careless: str) -> None:
    """The linter bites in spite of what we do without."""
    assert "upgrade.sql" in faults(f"BEGIN; SET LOCAL lock_timeout = '5s'; {careless} COMMIT;")


def undeclared(revision: str, sql: str) -> bool:
    """Whether it takes away what programs of before it use, and does not tell them (app/db/revision.py)."""
    declared = re.search(rf"INSERT INTO schema_contractions .*'{revision}'", sql)
    return TAKES_AWAY.search(sql) is not None and declared is None


def test_a_contraction_declares_itself() -> None:
    """Since there is a table for it; so replicas of before it are not ready any more, instead of failing call by call."""
    told = {revision: statements(after, revision) for after, revision in pairwise(["base", *REVISIONS])}
    since = next(number for number, sql in enumerate(told.values()) if "CREATE TABLE schema_contractions" in sql)
    assert [revision for revision in REVISIONS[since:] if undeclared(revision, told[revision])] == []


@pytest.mark.parametrize("words", ["DROP COLUMN locale", "RENAME COLUMN locale TO tongue", "ALTER COLUMN locale TYPE text"])
def test_an_undeclared_contraction_is_seen(words: str) -> None:
    careless = f"ALTER TABLE users {words};"
    assert undeclared("0099", careless)
    assert not undeclared("0099", careless + " INSERT INTO schema_contractions (revision) VALUES ('0099');")  # noqa: S608  words for the rule, run by nobody


def test_a_wait_for_a_lock_is_limited_in_what_operators_run_by_hand() -> None:
    """Printed statements are as careful as those that `migrate` runs: a queue behind one lock would stop the service."""
    assert "lock_timeout" in statements("base", REVISIONS[0]).partition("CREATE")[0]
