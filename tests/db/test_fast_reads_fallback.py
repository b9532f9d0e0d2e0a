"""When a hot read falls back to SQLAlchemy, and when it must not: no wait and no bug happens twice, and a use case sees its own writes."""

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
async def impatient(given: Given, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """The same database with a short timeout; no other connection is open."""
    monkeypatch.setattr(dialect, "SQLITE_WAIT_MS", round(WAIT * 1000))
    await given.world.db.close()
    opened = Database.open(given.world.db.url, 4, Timeouts(statement=WAIT))
    yield opened
    await opened.close()


def record_sqlalchemy_statements(database: Database) -> list[str]:
    """A list that collects every statement that SQLAlchemy executes from now on; fast reads are not among them."""
    statements: list[str] = []
    event.listen(database.reader.sync_engine, "before_cursor_execute", lambda _c, _cursor, text, *_: statements.append(text))
    return statements


@asynccontextmanager
async def lock_licenses(database: Database) -> AsyncIterator[None]:
    """Hold an exclusive lock on the licenses, so that no reader gets in."""
    if database.url.startswith("sqlite"):
        connection = sqlite3.connect(database.url.partition(":///")[2], isolation_level=None)
        for statement in ("PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE"):
            connection.execute(statement)
        yield
        connection.close()
    else:
        other = Database.open(database.url, 1)
        async with other.write() as tx:
            await tx.exec_driver_sql("LOCK TABLE licenses IN ACCESS EXCLUSIVE MODE")
            yield
        await other.close()


async def test_a_read_that_waited_for_a_lock_is_not_repeated(impatient: Database) -> None:
    """After a timeout the same read must not wait a second time."""
    statements, calls = record_sqlalchemy_statements(impatient), 0

    async def load(rows: Rows) -> Any:
        nonlocal calls
        calls += 1
        return await rows(LICENSES, {})

    async with lock_licenses(impatient):
        with pytest.raises(PoolTimeout):
            await impatient.query_many(LICENSES, {})
        with pytest.raises(PoolTimeout):
            await impatient.snapshot(load)
    assert statements == []
    assert calls == (0 if impatient.url.startswith("sqlite") else 1)  # an exclusively locked file refuses the connection itself
    assert (await impatient.snapshot(load))[0].many == 0


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_statement_above_the_time_limit_is_cancelled_once(impatient: Database) -> None:
    start = perf_counter()
    with pytest.raises(PoolTimeout):
        await impatient.query_many(SLEEPY, {})
    assert perf_counter() - start < 2 * WAIT


async def test_a_locked_database_gives_a_503(given: Given, app: FastAPI, impatient: Database) -> None:
    license_ = await given.license()
    await given.world.db.close()
    app.state.world = replace(given.world, db=impatient)
    body = {"license_key": license_["key"], "product": license_["product"]}
    async with lock_licenses(impatient):
        answer = await given.client.post("/v1/licenses/validate", json=body)
    assert problem(answer, 503, "busy")["title"]
    assert (await given.client.post("/v1/licenses/validate", json=body)).json()["valid"] is True


async def test_a_bug_is_raised_at_once_and_not_retried(given: Given) -> None:
    calls = 0

    async def load(rows: Rows) -> Any:
        nonlocal calls
        calls += 1
        return {row.many: 1 for row in await rows(LICENSES, {})}["nothing of that name"]

    with pytest.raises(KeyError):
        await given.world.db.snapshot(load)
    assert calls == 1
    assert (await given.world.db.query_many(LICENSES, {}))[0].many == 0


async def test_a_snapshot_survives_a_pool_of_dead_connections(given: Given) -> None:
    """All connections of fast reads and of SQLAlchemy are dead, as after a restart of the server."""
    database = given.world.db
    await database.query_many(LICENSES, {})
    async with database.query() as tx:
        dead: Any = (await tx.get_raw_connection()).driver_connection
    for driver in (*(pinned.driver for pinned in database.fast_reads.idle), dead):
        await driver.close()
    [row] = await database.snapshot(lambda rows: rows(LICENSES, {}))
    assert row.many == 0


async def insert_customer(given: Given, tx: Transaction) -> None:
    values = {"id": given.world.entropy.identifier(), "name": "Ola", "metadata": {}, "created_at": given.world.clock.now()}
    await tx.execute(insert(table(Customer)).values(values))


async def test_a_use_case_sees_what_it_has_written(given: Given) -> None:
    """With an Idempotency-Key the write stays open until the response is stored; later hot reads use its connection."""
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
