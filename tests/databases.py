"""Migrated databases for tests: a copied file on SQLite, an emptied database on PostgreSQL. Real commits on both."""

import asyncio
import shutil
from pathlib import Path
from typing import Self

import asyncpg  # type: ignore[import-untyped]
from alembic import command
from sqlalchemy.engine import make_url

from app.db import revision as schema
from app.db.database import Database
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


class Refilled:
    """One SQLite database for the whole run, over a fresh copy of the template for each test.

    What it knows of its statements lasts: compiling them anew for each test was a tenth of the run.
    """

    def __init__(self, template: Path, home: Path) -> None:
        self.template = template
        self.path = home / "test.db"
        self.database = Database.open(sqlite_url(self.path), 20, lasting=False)  # as the run's PostgreSQL, which has no fsync

    def fresh(self) -> Database:
        copied(self.template, self.path)
        return self.database

    async def gone(self) -> None:
        """Every connection is closed, and whoever kept one keeps a file of no name."""
        await self.database.close()
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()

    async def keep(self, name: str) -> None:
        """Remember what is in it now, to be put back in later tests."""
        await self.database.close()
        shutil.copyfile(self.path, self.path.with_name(f"kept-{name}"))

    async def put_back(self, name: str) -> None:
        await self.gone()
        shutil.copyfile(self.path.with_name(f"kept-{name}"), self.path)


class Emptier:
    """Deletes every row of a PostgreSQL database, over one connection kept for it: a new one would learn 35 tables each time.

    As replica, so that neither foreign keys nor the triggers that freeze rows stand in the way.
    """

    def __init__(self, url: str) -> None:
        self.address = make_url(url)
        names = [table.name for table in METADATA.sorted_tables]
        self.written = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names)  # noqa: S608  our own names

    async def __aenter__(self) -> Self:
        address = self.address
        self.connection = await asyncpg.connect(host=address.query["host"], user=address.username, database=address.database)
        await self.connection.execute("SET session_replication_role = replica")
        return self

    async def empty(self) -> None:
        if written := await self.connection.fetch(self.written):
            await self.connection.execute("; ".join(f"DELETE FROM {name}" for (name,) in written))  # noqa: S608  our own names

    async def keep(self, name: str) -> None:
        """Remember what is in it now, in a schema of that name, to be put back in later tests."""
        written = [table for (table,) in await self.connection.fetch(self.written)]
        copies = [f"CREATE TABLE {name}.{table} AS TABLE public.{table}" for table in written]
        await self.connection.execute("; ".join([f"CREATE SCHEMA {name}", *copies]))

    async def put_back(self, name: str) -> None:
        await self.empty()
        written = await self.connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", name)
        await self.connection.execute("; ".join(f"INSERT INTO public.{table} SELECT * FROM {name}.{table}" for (table,) in written))  # noqa: S608  our own names

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()
