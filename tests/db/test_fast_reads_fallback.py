"""When SQLAlchemy runs a hot read after FastReads failed, and when it must not: no caller waits twice, no bug runs twice.

A use case sees what it has written.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import event, func, insert, select
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.catalog.models import Customer
from app.db import dialect
from app.db.base import table
from app.db.database import Database, Transaction
from app.db.dialect import Timeouts
from app.db.fast_reads import Rows
from app.licenses.models import License
from tests.assertions import problem
from tests.given import Given

LICENSES = select(func.count().label("many")).select_from(License)
CUSTOMERS = select(func.count().label("many")).select_from(Customer)
WAIT = 0.5
"""Seconds for a statement, and for a lock of SQLite."""
SLEEPY = select(func.pg_sleep(30).label("slept"))


@pytest.fixture
async def short_timeouts(given: Given, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """The same database with short timeouts, and no other open connection."""
    monkeypatch.setattr(dialect, "SQLITE_WAIT_MS", round(WAIT * 1000))
    await given.world.db.close()
    database = Database.open(given.world.db.url, 4, Timeouts(statement=WAIT))
    yield database
    await database.close()


def collect_statements(database: Database) -> list[str]:
    """Collect the statements that SQLAlchemy itself executes from now on, without those of FastReads."""
    statements: list[str] = []
    event.listen(database.reader.sync_engine, "before_cursor_execute", lambda _c, _cursor, text, *_: statements.append(text))
    return statements


@asynccontextmanager
async def lock_licenses(database: Database) -> AsyncIterator[None]:
    """Lock the licenses exclusively, so that no other connection can read them."""
    if database.url.startswith("sqlite"):
        alone = sqlite3.connect(database.url.partition(":///")[2], isolation_level=None)
        for statement in ("PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE"):
            alone.execute(statement)
        yield
        alone.close()
    else:
        other = Database.open(database.url, 1)
        async with other.write() as tx:
            await tx.exec_driver_sql("LOCK TABLE licenses IN ACCESS EXCLUSIVE MODE")
            yield
        await other.close()


async def test_a_busy_database_is_asked_once(short_timeouts: Database) -> None:
    """A read that waited for a lock until its timeout does not wait again."""
    again, asked = collect_statements(short_timeouts), 0

    async def ask(rows: Rows) -> Any:
        nonlocal asked
        asked += 1
        return await rows(LICENSES, {})

    async with lock_licenses(short_timeouts):
        with pytest.raises(PoolTimeout):
            await short_timeouts.query_many(LICENSES, {})
        with pytest.raises(PoolTimeout):
            await short_timeouts.snapshot(ask)
    assert again == []
    assert asked == (0 if short_timeouts.url.startswith("sqlite") else 1)  # a file held alone refuses even a new connection
    assert (await short_timeouts.snapshot(ask))[0].many == 0


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_statement_that_takes_too_long_is_cut_once(short_timeouts: Database) -> None:
    start = perf_counter()
    with pytest.raises(PoolTimeout):
        await short_timeouts.query_many(SLEEPY, {})
    assert perf_counter() - start < 2 * WAIT


async def test_a_caller_gets_busy(given: Given, app: FastAPI, short_timeouts: Database) -> None:
    license_ = await given.license()
    await given.world.db.close()
    app.state.world = replace(given.world, db=short_timeouts)
    body = {"license_key": license_["key"], "product": license_["product"]}
    async with lock_licenses(short_timeouts):
        answer = await given.client.post("/v1/licenses/validate", json=body)
    assert problem(answer, 503, "busy")["title"]
    assert (await given.client.post("/v1/licenses/validate", json=body)).json()["valid"] is True


async def test_a_bug_is_raised_at_once_and_runs_once(given: Given) -> None:
    asked = 0

    async def ask(rows: Rows) -> Any:
        nonlocal asked
        asked += 1
        return {row.many: 1 for row in await rows(LICENSES, {})}["nothing of that name"]

    with pytest.raises(KeyError):
        await given.world.db.snapshot(ask)
    assert asked == 1
    assert (await given.world.db.query_many(LICENSES, {}))[0].many == 0


async def test_a_snapshot_outlives_a_pool_of_dead_connections(given: Given) -> None:
    """All connections, of FastReads and of the pool, have died meanwhile, as after a restart."""
    database = given.world.db
    await database.query_many(LICENSES, {})
    async with database.query() as tx:
        died: Any = (await tx.get_raw_connection()).driver_connection
    for driver in (*(pinned.driver for pinned in database.fast_reads.idle), died):
        await driver.close()
    [row] = await database.snapshot(lambda rows: rows(LICENSES, {}))
    assert row.many == 0


async def insert_customer(given: Given, tx: Transaction) -> None:
    values = {"id": given.world.entropy.identifier(), "name": "Ola", "metadata": {}, "created_at": given.world.clock.now()}
    await tx.execute(insert(table(Customer)).values(values))


async def test_a_use_case_sees_what_it_has_written(given: Given) -> None:
    """Under an Idempotency-Key the write stays open until the answer is there: hot reads after it go through the same connection."""
    database = given.world.db
    assert (await database.query_many(CUSTOMERS, {}))[0].many == 0
    async with database.hold_commit() as pending:
        own = given.world.for_request(pending).db
        async with own.write() as tx:
            await insert_customer(given, tx)
        assert pending.tx is not None
        assert (await own.query_many(CUSTOMERS, {}))[0].many == 1
        assert (await own.snapshot(lambda rows: rows(CUSTOMERS, {})))[0].many == 1
    assert (await database.query_many(CUSTOMERS, {}))[0].many == 0
