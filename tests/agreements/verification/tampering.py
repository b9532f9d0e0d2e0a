"""Changes rows behind the service's back, without the triggers that freeze the ledger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.db.database import Database, Transaction
from tests.given import Given

TABLES = ("agreement_events", "agreement_texts", "agreement_versions", "agreement_seals", "agreement_seal_items")


@asynccontextmanager
async def open_unguarded(given: Given) -> AsyncIterator[Transaction]:
    """Open a transaction without triggers and foreign keys."""
    async with _open(given.world.db) as tx:
        yield tx


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
    """Execute one statement, which must change a row. UUIDs are passed in the form the database stores."""
    plain = given.world.db.url.startswith("sqlite")
    parameters = {name: value.hex if plain and isinstance(value, UUID) else value for name, value in values.items()}
    async with open_unguarded(given) as tx:
        assert (await tx.execute(text(statement), parameters)).rowcount >= 1, "no row was changed"
