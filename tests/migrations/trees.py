"""Runs the migrations of the program, or of a copy that continues them, and describes the schema of a database."""

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.db import revision as schema

Result = TypeVar("Result")
SCRIPT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = {revision!r}, {after!r}, None, None


def upgrade() -> None:
    {body}


def downgrade() -> None:
    pass
"""


def revisions() -> list[str]:
    """Return every revision of the program, the first one first."""
    scripts = ScriptDirectory(str(schema.ROOT / "migrations")).walk_revisions()
    return [script.revision for script in scripts][::-1]


def extend(folder: Path, url: str, *bodies: str) -> Config:
    """Copy the program's migrations with env.py, and append these upgrades as `x1`, `x2`, …"""
    tree = folder / "migrations"
    shutil.copytree(schema.ROOT / "migrations", tree, ignore=shutil.ignore_patterns("__pycache__"))
    after = schema.program_revision()
    for number, body in enumerate(bodies, 1):
        script = SCRIPT.format(revision=f"x{number}", after=after, body="\n    ".join(body.strip().splitlines()))
        (tree / "versions" / f"x{number}.py").write_text(script, encoding="utf-8")
        after = f"x{number}"
    config = schema.alembic_config(url)
    config.set_main_option("script_location", str(tree))
    return config


async def up(config: Config, revision: str = "head") -> None:
    await asyncio.to_thread(command.upgrade, config, revision)


async def down(config: Config, revision: str = "base") -> None:
    await asyncio.to_thread(command.downgrade, config, revision)


async def query(url: str, work: Callable[[Connection], Result], *, commit: bool = False) -> Result:
    """Return the result of `work` over a plain connection, without our own engines."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            result = await connection.run_sync(work)
            if commit:
                await connection.commit()
            return result
    finally:
        await engine.dispose()


async def run(url: str, *statements: str) -> None:
    """Run statements and commit."""

    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    await query(url, work, commit=True)


async def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    return await query(url, lambda connection: [tuple(row) for row in connection.execute(text(statement))])


_SQLITE = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"
_POSTGRESQL = """
SELECT 'column', table_name || '.' || column_name,
       concat_ws(' ', data_type, character_maximum_length::text, is_nullable, column_default)
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname::text, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'type', typname::text, typtype::text FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
ORDER BY 1, 2, 3
"""


async def describe(url: str) -> list[tuple[Any, ...]]:
    """Return every table, column, index, constraint, trigger and function, in a comparable form, without Alembic's own table.

    SQLite stores the text of each statement. Its quotes, spaces and order are normalised: a rebuild changes them, but not the table.
    """
    schema = await rows(url, _SQLITE if url.startswith("sqlite") else _POSTGRESQL)
    return [tuple(_plain(part) for part in row) for row in schema if "alembic_version" not in str(row[1])]


def _plain(part: Any) -> Any:
    if not isinstance(part, str):
        return part
    bare = re.sub(r"\s*([(),])\s*", r"\1", re.sub(r'["\s]+', " ", part)).strip()
    head, _, body = bare.partition("(")
    return head + "(" + ", ".join(sorted(re.split(r",(?![^(]*\))", body.removesuffix(")")))) if head.startswith("CREATE TABLE") else bare
