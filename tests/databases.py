"""Migrated databases for tests: a copied file on SQLite, an emptied database on PostgreSQL. Real commits on both."""

import asyncio
import shutil
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
from alembic import command
from sqlalchemy.engine import make_url

from app.db import schema
from app.models import METADATA

KINDS = ("sqlite", "postgresql")


async def migrate(url: str, revision: str = "head") -> None:
    """Alembic's own entry, off the loop: it runs a loop of its own."""
    config = schema.alembic_config(url)
    await asyncio.to_thread(command.upgrade, config, revision)


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def copied(template: Path, target: Path) -> str:
    """A fresh copy of the migrated file."""
    shutil.copyfile(template, target)
    return sqlite_url(target)


async def execute(url: str, statement: str) -> None:
    """One or more statements, outside of our own engines."""
    address = make_url(url)
    connection = await asyncpg.connect(host=address.query["host"], user=address.username, database=address.database)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def emptying() -> str:
    """Delete every row. As replica, so that neither foreign keys nor the triggers that freeze rows stand in the way."""
    tables = "; ".join(str(table.delete()) for table in METADATA.sorted_tables)
    return f"SET session_replication_role = replica; {tables}; SET session_replication_role = origin"
