"""When a hot read takes the ordinary way instead of the fast lane, and when it must not: nobody waits twice, no bug is tried twice,
and a use case sees what it has written."""

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
async def hurried(given: Given, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """The same database, with little patience; nobody else has it open."""
    monkeypatch.setattr(dialect, "SQLITE_WAIT_MS", round(WAIT * 1000))
    await given.world.db.close()
    made = Database.open(given.world.db.url, 4, Timeouts(statement=WAIT))
    yield made
    await made.close()


def by_the_ordinary_way(database: Database) -> list[str]:
    """What SQLAlchemy itself executes from now on; what goes through the lane it does not see."""
    told: list[str] = []
    event.listen(database.reader.sync_engine, "before_cursor_execute", lambda _c, _cursor, text, *_: told.append(text))
    return told


@asynccontextmanager
async def barred(database: Database) -> AsyncIterator[None]:
    """Somebody holds the licenses alone, and lets no reader in."""
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


async def test_a_busy_database_is_asked_once(hurried: Database) -> None:
    """Whoever waited for a lock until the end of their patience does not wait for it again."""
    again, asked = by_the_ordinary_way(hurried), 0

    async def ask(rows: Rows) -> Any:
        nonlocal asked
        asked += 1
        return await rows(LICENSES, {})

    async with barred(hurried):
        with pytest.raises(PoolTimeout):
            await hurried.query_many(LICENSES, {})
        with pytest.raises(PoolTimeout):
            await hurried.snapshot(ask)
    assert again == []
    assert asked == (0 if hurried.url.startswith("sqlite") else 1)  # a file held alone does not even let a connection be made
    assert (await hurried.snapshot(ask))[0].many == 0


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_statement_that_takes_too_long_is_cut_once(hurried: Database) -> None:
    start = perf_counter()
    with pytest.raises(PoolTimeout):
        await hurried.query_many(SLEEPY, {})
    assert perf_counter() - start < 2 * WAIT


async def test_a_caller_is_told_that_it_is_busy(given: Given, app: FastAPI, hurried: Database) -> None:
    license_ = await given.license()
    await given.world.db.close()
    app.state.world = replace(given.world, db=hurried)
    body = {"license_key": license_["key"], "product": license_["product"]}
    async with barred(hurried):
        answer = await given.client.post("/v1/licenses/validate", json=body)
    assert problem(answer, 503, "busy")["title"]
    assert (await given.client.post("/v1/licenses/validate", json=body)).json()["valid"] is True


async def test_a_bug_is_told_at_once_and_only_once(given: Given) -> None:
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
    """Those of the lane and those of the ordinary way have all died meanwhile, as after a restart."""
    database = given.world.db
    await database.query_many(LICENSES, {})
    async with database.query() as tx:
        died: Any = (await tx.get_raw_connection()).driver_connection
    for driver in (*(kept.driver for kept in database.fast_reads.idle), died):
        await driver.close()
    [row] = await database.snapshot(lambda rows: rows(LICENSES, {}))
    assert row.many == 0


async def wrote(given: Given, tx: Transaction) -> None:
    values = {"id": given.world.entropy.identifier(), "name": "Ola", "metadata": {}, "created_at": given.world.clock.now()}
    await tx.execute(insert(table(Customer)).values(values))


async def test_a_use_case_sees_what_it_has_written(given: Given) -> None:
    """Under an Idempotency-Key the write stays open until the answer is there: hot reads after it go through the same connection."""
    database = given.world.db
    assert (await database.query_many(CUSTOMERS, {}))[0].many == 0
    async with database.hold_commit() as pending:
        own = given.world.for_request(pending).db
        async with own.write() as tx:
            await wrote(given, tx)
        assert pending.tx is not None
        assert (await own.query_many(CUSTOMERS, {}))[0].many == 1
        assert (await own.snapshot(lambda rows: rows(CUSTOMERS, {})))[0].many == 1
    assert (await database.query_many(CUSTOMERS, {}))[0].many == 0
