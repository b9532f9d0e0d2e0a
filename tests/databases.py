"""Migrated databases for tests: a copied file on SQLite, an emptied database on PostgreSQL. Commits are real on both."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Self

import asyncpg  # type: ignore[import-untyped]
from alembic import command
from sqlalchemy.engine import make_url

from app.db import revision as schema
from app.db.database import Database
from app.models import METADATA

KINDS = ("sqlite", "postgresql")
FILLED_TABLES = " UNION ALL ".join(
    f"SELECT '{table.name}' WHERE EXISTS (SELECT 1 FROM {table.name})"  # noqa: S608  our own names
    for table in METADATA.sorted_tables
)
"""A statement that returns the names of the tables that have rows."""


async def migrate(url: str, revision: str = "head") -> None:
    """Run Alembic in a thread: it starts its own event loop."""
    config = schema.alembic_config(url)
    await asyncio.to_thread(command.upgrade, config, revision)


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def copy_template(template: Path, target: Path) -> str:
    """Copy the migrated file and return the address of the copy."""
    shutil.copyfile(template, target)
    return sqlite_url(target)


async def execute(url: str, statement: str) -> None:
    """Run one or more statements over a plain asyncpg connection."""
    address = make_url(url)
    connection = await asyncpg.connect(host=address.query["host"], user=address.username, database=address.database)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class SqliteStore:
    """One SQLite `Database` for the whole run, over a new copy of the template file for each test.

    The object is reused for its cache of compiled statements: compiling them for each test took a tenth of the run.
    """

    def __init__(self, template: Path, home: Path) -> None:
        self.template = template
        self.path = home / "test.db"
        self.database = Database.open(sqlite_url(self.path), 20, durable=False)  # no fsync, like the PostgreSQL of the run

    def reset(self) -> Database:
        copy_template(self.template, self.path)
        return self.database

    async def discard(self) -> None:
        """Close every connection and delete the file; a connection that is still open keeps an unlinked file."""
        await self.database.close()
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()

    async def filled_tables(self) -> set[str]:
        """The names of the tables that have rows."""
        with closing(sqlite3.connect(self.path)) as connection:
            return {name for (name,) in connection.execute(FILLED_TABLES)}

    async def save(self, name: str) -> None:
        """Copy the current rows, so that later tests can restore them."""
        await self.database.close()
        shutil.copyfile(self.path, self.path.with_name(f"saved-{name}"))

    async def restore(self, name: str) -> None:
        await self.discard()
        shutil.copyfile(self.path.with_name(f"saved-{name}"), self.path)


class PostgresStore:
    """Deletes, copies and restores the rows of a PostgreSQL database over one connection, whose statements stay prepared.

    The connection has the role of a replica, which turns off foreign keys and the triggers that freeze rows.
    """

    def __init__(self, url: str) -> None:
        self.address = make_url(url)

    async def __aenter__(self) -> Self:
        address = self.address
        self.connection = await asyncpg.connect(host=address.query["host"], user=address.username, database=address.database)
        await self.connection.execute("SET session_replication_role = replica")
        return self

    async def filled_tables(self) -> set[str]:
        """The names of the tables that have rows."""
        return {name for (name,) in await self.connection.fetch(FILLED_TABLES)}

    async def empty(self) -> None:
        if filled := await self.connection.fetch(FILLED_TABLES):
            await self.connection.execute("; ".join(f"DELETE FROM {name}" for (name,) in filled))  # noqa: S608  our own names

    async def save(self, name: str) -> None:
        """Copy the current rows into a schema of that name, so that later tests can restore them."""
        filled = [table for (table,) in await self.connection.fetch(FILLED_TABLES)]
        copies = [f"CREATE TABLE {name}.{table} AS TABLE public.{table}" for table in filled]
        await self.connection.execute("; ".join([f"CREATE SCHEMA {name}", *copies]))

    async def restore(self, name: str) -> None:
        await self.empty()
        filled = await self.connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", name)
        await self.connection.execute("; ".join(f"INSERT INTO public.{table} SELECT * FROM {name}.{table}" for (table,) in filled))  # noqa: S608  our own names

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()
