"""The tree is one line, every step can be taken back, and at its end stand exactly the models."""

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
    """Two heads would make `migrate` refuse; two developers meet here, not in production."""
    tree = ScriptDirectory(str(schema.ROOT / "migrations"))
    assert len(tree.get_heads()) == len(tree.get_bases()) == 1
    assert not any(script.is_branch_point or script.is_merge_point for script in tree.walk_revisions())


async def test_every_step_can_be_taken_back(empty: str) -> None:
    """Up, down and up again over each revision leaves the schema as it was, so a bad release can be withdrawn."""
    config = schema.alembic_config(empty)
    below = await trees.described(empty)
    for revision in trees.revisions():
        await trees.up(config, revision)
        reached = await trees.described(empty)
        assert reached != below
        await trees.down(config, "-1")
        assert await trees.described(empty) == below
        await trees.up(config, revision)
        assert await trees.described(empty) == reached
        below = reached


async def test_the_whole_way_down_leaves_nothing(empty: str) -> None:
    """Neither tables nor what is easily forgotten: functions, triggers, indexes. And the way up still works."""
    config = schema.alembic_config(empty)
    await trees.up(config)
    whole = await trees.described(empty)
    await trees.down(config)
    assert await trees.described(empty) == []
    await trees.up(config)
    assert await trees.described(empty) == whole


async def test_at_the_head_stand_the_models(empty: str) -> None:
    """No column, type, constraint or index is declared and not migrated, or migrated and not declared."""
    await trees.up(schema.alembic_config(empty))
    assert await trees.asked(empty, lambda connection: drift(connection, METADATA)) == []


async def test_a_drift_is_seen(empty: str) -> None:
    """The comparison can fail: a table, a column, a type, an index and a constraint that no migration makes."""
    await trees.up(schema.alembic_config(empty))
    moved = MetaData(naming_convention=METADATA.naming_convention)
    for table in METADATA.tables.values():
        table.to_metadata(moved)
    sa.Table("forgotten", moved, sa.Column("id", sa.Uuid, primary_key=True))
    users = moved.tables["users"]
    users.append_column(sa.Column("shoe_size", sa.Integer, index=True))
    users.c.created_at.nullable = True
    moved.tables["customers"].append_constraint(sa.UniqueConstraint("email"))
    moved.tables["policies"].c.self_service.type = sa.String(7)
    told = await trees.asked(empty, lambda connection: drift(connection, moved))
    kinds = {entry[0] if isinstance(entry, tuple) else entry[0][0] for entry in told}
    assert kinds == {"add_table", "add_column", "add_index", "add_constraint", "modify_nullable", "modify_type"}


def drift(connection: Connection, metadata: MetaData) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))
