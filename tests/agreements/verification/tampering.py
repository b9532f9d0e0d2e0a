"""Going behind the service's back: the triggers that freeze the ledger are dropped, then whatever SQL says is done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.db.database import Database, Transaction
from tests.given import Given

TABLES = ("agreement_events", "agreement_texts", "agreement_versions", "agreement_seals", "agreement_seal_items")


@asynccontextmanager
async def behind(given: Given) -> AsyncIterator[Transaction]:
    """A write with neither triggers nor foreign keys, for this transaction alone."""
    async with _open(given.world.db) as session:
        yield session


@asynccontextmanager
async def _open(database: Database) -> AsyncIterator[Transaction]:
    if database.url.startswith("sqlite"):
        async with database.writer.connect() as tx:
            await tx.exec_driver_sql("PRAGMA foreign_keys=OFF")
            names = await tx.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in names.all():
                await tx.exec_driver_sql(f"DROP TRIGGER {name}")
            yield tx
            await tx.exec_driver_sql("PRAGMA foreign_keys=ON")
    else:
        async with database.writer.begin() as tx:
            await tx.exec_driver_sql("SET LOCAL session_replication_role = replica")
            yield tx


async def execute(given: Given, statement: str, **values: Any) -> None:
    """One statement; a UUID goes in as the database keeps it."""
    plain = given.world.db.url.startswith("sqlite")
    told = {name: value.hex if plain and isinstance(value, UUID) else value for name, value in values.items()}
    async with behind(given) as session:
        assert (await session.execute(text(statement), told)).rowcount >= 1, "nothing was tampered with"
