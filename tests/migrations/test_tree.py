"""The migrations are one line, every step can be reverted, and the result matches the models exactly."""

from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from app.db import revision as schema
from app.models import METADATA
from tests.migrations import trees


def test_there_is_one_head_and_one_base() -> None:
    """`migrate` refuses two heads; two developers should notice it here, not in production."""
    tree = ScriptDirectory(str(schema.ROOT / "migrations"))
    assert len(tree.get_heads()) == len(tree.get_bases()) == 1
    assert not any(script.is_branch_point or script.is_merge_point for script in tree.walk_revisions())


async def test_every_step_can_be_reverted(empty: str) -> None:
    """Up, down and up again over each revision leaves the schema as it was, so a bad release can be withdrawn."""
    config = schema.alembic_config(empty)
    below = await trees.describe(empty)
    for revision in trees.revisions():
        await trees.up(config, revision)
        above = await trees.describe(empty)
        assert above != below
        await trees.down(config, "-1")
        assert await trees.describe(empty) == below
        await trees.up(config, revision)
        assert await trees.describe(empty) == above
        below = above


async def test_a_full_downgrade_leaves_nothing(empty: str) -> None:
    """No tables, functions, triggers or indexes are left, and upgrading again works."""
    config = schema.alembic_config(empty)
    await trees.up(config)
    schema_at_head = await trees.describe(empty)
    await trees.down(config)
    assert await trees.describe(empty) == []
    await trees.up(config)
    assert await trees.describe(empty) == schema_at_head


async def test_the_head_matches_the_models(empty: str) -> None:
    """No column, type, constraint or index is declared and not migrated, or migrated and not declared."""
    await trees.up(schema.alembic_config(empty))
    assert await trees.query(empty, lambda connection: compare(connection, METADATA)) == []


async def test_a_difference_is_found(empty: str) -> None:
    """The comparison can fail: a table, a column, a type, an index and a constraint that no migration creates."""
    await trees.up(schema.alembic_config(empty))
    changed = MetaData(naming_convention=METADATA.naming_convention)
    for table in METADATA.tables.values():
        table.to_metadata(changed)
    sa.Table("forgotten", changed, sa.Column("id", sa.Uuid, primary_key=True))
    users = changed.tables["users"]
    users.append_column(sa.Column("shoe_size", sa.Integer, index=True))
    users.c.created_at.nullable = True
    changed.tables["customers"].append_constraint(sa.UniqueConstraint("email"))
    changed.tables["policies"].c.self_service.type = sa.String(7)
    differences = await trees.query(empty, lambda connection: compare(connection, changed))
    kinds = {entry[0] if isinstance(entry, tuple) else entry[0][0] for entry in differences}
    assert kinds == {"add_table", "add_column", "add_index", "add_constraint", "modify_nullable", "modify_type"}


def compare(connection: Connection, metadata: MetaData) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))
