"""A migration that rebuilds a parent table keeps its children, and one that would orphan them changes nothing.

SQLite changes a table by making a new one, copying, and dropping the old one. With foreign keys on, the drop deletes every child
row without an error; migrations/env.py turns them off and checks afterwards.
"""

from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from app.db import revision
from tests import databases
from tests.migrations import trees

FAMILY = """
op.create_table("parents", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(5)))
parent = sa.ForeignKey("parents.id", ondelete="CASCADE", name="fk_children_parents")
op.create_table("children", sa.Column("id", sa.Integer, primary_key=True), sa.Column("parent_id", sa.Integer, parent, nullable=False))
op.execute("INSERT INTO parents VALUES (1, 'Ada'), (2, 'Bo')")
op.execute("INSERT INTO children VALUES (10, 1), (11, 1), (12, 2)")
"""
REBUILD = """
with op.batch_alter_table("parents", recreate="auto") as parents:
    parents.alter_column("name", existing_type=sa.String(5), type_=sa.String(50), nullable=False)
"""
ORPHAN = """
with op.batch_alter_table("parents") as parents:
    parents.add_column(sa.Column("note", sa.String(5)))
op.execute("DELETE FROM parents WHERE id = 2")
"""


async def test_children_survive_the_rebuild_of_their_parent(empty: str, tmp_path: Path) -> None:
    """The foreign key and its cascade still work afterwards."""
    config = trees.extend(tmp_path, empty, FAMILY, REBUILD)
    await trees.up(config)
    assert await trees.rows(empty, "SELECT id, parent_id FROM children ORDER BY id") == [(10, 1), (11, 1), (12, 2)]
    assert await trees.rows(empty, "SELECT id, name FROM parents ORDER BY id") == [(1, "Ada"), (2, "Bo")]
    await trees.run(empty, *foreign_keys_on(empty), "DELETE FROM parents WHERE id = 1")
    assert await trees.rows(empty, "SELECT id FROM children") == [(12,)]
    with pytest.raises(IntegrityError):
        await trees.run(empty, *foreign_keys_on(empty), "INSERT INTO children VALUES (13, 99)")


def foreign_keys_on(url: str) -> tuple[str, ...]:
    return ("PRAGMA foreign_keys=ON",) if url.startswith("sqlite") else ()


async def test_a_rebuild_with_foreign_keys_on_deletes_every_child(tmp_path: Path) -> None:
    """Shows that the precaution is needed: the same four statements with foreign keys on. If this fails, remove it."""
    url = databases.sqlite_url(tmp_path / "careless.db")
    await trees.up(trees.extend(tmp_path, url, FAMILY))
    copy = ("CREATE TABLE copy (id INTEGER PRIMARY KEY, name VARCHAR(50))", "INSERT INTO copy SELECT * FROM parents")
    await trees.run(url, *foreign_keys_on(url), *copy, "DROP TABLE parents", "ALTER TABLE copy RENAME TO parents")
    assert await trees.rows(url, "SELECT id FROM children") == []


async def test_a_migration_that_orphans_rows_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """With foreign keys off, only the check at the end prevents a broken database."""
    url = databases.sqlite_url(tmp_path / "orphans.db")
    config = trees.extend(tmp_path, url, FAMILY, ORPHAN)
    await trees.up(config, "x1")
    before = await trees.describe(url)
    with pytest.raises(RuntimeError, match="without their parents"):
        await trees.up(config)
    assert await trees.describe(url) == before
    assert await trees.rows(url, "SELECT id FROM parents ORDER BY id") == [(1,), (2,)]
    assert await trees.rows(url, "SELECT version_num FROM alembic_version") == [("x1",)]


async def test_a_migration_that_fails_half_way_changes_nothing(empty: str, tmp_path: Path) -> None:
    """After a crash in a migration the schema is that of the last good revision, on both databases."""
    config = trees.extend(tmp_path, empty, 'op.create_table("half", sa.Column("id", sa.Integer))\nraise LookupError("half way")')
    await trees.up(config, revision.program_revision())
    before = await trees.describe(empty)
    with pytest.raises(LookupError):
        await trees.up(config)
    assert await trees.describe(empty) == before
    assert await trees.rows(empty, "SELECT version_num FROM alembic_version") == [(revision.program_revision(),)]


async def test_the_programs_own_parents_can_be_rebuilt(tmp_path: Path) -> None:
    """Half of the tables refer to `licenses` and `users`; a later migration of these must not lose a seat."""
    rebuild = 'with op.batch_alter_table("products", recreate="always") as products:\n    products.add_column(sa.Column("x", sa.Integer))'
    url = databases.sqlite_url(tmp_path / "own.db")
    config = trees.extend(tmp_path, url, rebuild)
    await trees.up(config, revision.program_revision())
    product = "INSERT INTO products VALUES ('a', 'studio', 'Studio', '[]', 'en', 0, '{}', '2026-11-22 12:00:00')"
    document = (
        "INSERT INTO agreement_documents (id, product_id, kind, region, name, default_locale, rev, created_at) "
        "VALUES ('b', 'a', 'eula', '001', 'EULA', 'en', 0, '2026-11-22 12:00:00')"
    )
    await trees.run(url, product, document)
    await trees.up(config)
    assert await trees.rows(url, "SELECT id, product_id FROM agreement_documents") == [("b", "a")]
