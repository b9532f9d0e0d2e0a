"""Fast reads: the same rows as SQLAlchemy, and no connection is used after a fault."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import bindparam, select, text
from sqlalchemy.exc import DBAPIError, MultipleResultsFound
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.db.base import table
from app.db.database import Database
from app.licenses import facts
from app.licenses.models import License
from app.login.sessions import service as sessions
from app.login.sessions import tokens
from tests import databases
from tests.given import Given

EVERY = select(*table(License).columns).order_by(License.id)
ONE = select(License.id, License.key_last4).where(License.id == bindparam("id"))
SOME = select(License.id).where(License.id.in_(bindparam("ids", expanding=True)))


async def read_with_sqlalchemy(database: Database, statement: Any, parameters: dict[str, Any]) -> Any:
    async with database.query() as tx:
        return (await tx.execute(statement, parameters)).all()


async def test_the_rows_equal_those_of_sqlalchemy(given: Given) -> None:
    database, now = given.world.db, given.clock.now()
    licenses = [await given.license() for _ in range(3)]
    rows = await database.query_many(EVERY, {})
    assert rows == await read_with_sqlalchemy(database, EVERY, {})
    assert [str(row.id) for row in rows] == [license_["id"] for license_ in licenses]
    assert rows[0]._mapping["metadata"] == {}
    parameters = {**facts.build_parameters(now, product=licenses[0]["product"], key_hash=rows[0].key_hash)}
    assert await database.query_many(facts.BY_KEY, parameters) == await read_with_sqlalchemy(database, facts.BY_KEY, parameters)


async def test_the_session_statement_gives_the_same_row_both_ways(given: Given) -> None:
    person = await given.strong()
    holder = await tokens.read_end_user(given.world, str(person.token))
    [row] = await read_with_sqlalchemy(given.world.db, sessions._session, dict(sessions._build_parameters(holder)))
    assert await sessions.load_session(given.world, holder) == row


async def test_query_one_returns_one_row_or_none(given: Given) -> None:
    first, second = await given.license(), await given.license()
    [row, _] = await given.world.db.query_many(EVERY, {})
    assert (await given.world.db.query_one(ONE, {"id": row.id})) is not None
    assert await given.world.db.query_one(ONE, {"id": given.world.entropy.identifier()}) is None
    assert {first["id"], second["id"]} == {str(row.id) for row in await given.world.db.query_many(EVERY, {})}
    with pytest.raises(MultipleResultsFound):
        await given.world.db.query_one(EVERY, {})


async def test_a_list_parameter_is_refused(given: Given) -> None:
    with pytest.raises(TypeError):
        await given.world.db.query_many(SOME, {"ids": []})


async def test_a_dead_connection_is_replaced_during_the_read(given: Given) -> None:
    database = given.world.db
    await given.license()
    assert len(await database.query_many(EVERY, {})) == 1
    for pinned in database.fast_reads.idle:
        await pinned.driver.close()
    assert len(await database.query_many(EVERY, {})) == 1
    assert len(await database.query_many(EVERY, {})) == 1


async def test_a_database_error_is_raised_as_sqlalchemy_raises_it(given: Given) -> None:
    wrong = select(text("nothing_of_that_name")).select_from(table(License))
    with pytest.raises(DBAPIError):
        await given.world.db.query_many(wrong.with_only_columns(table(License).c.id).where(text("nothing_of_that_name = 1")), {})
    assert await given.world.db.query_many(EVERY, {}) == []


async def test_a_caller_that_waits_too_long_gets_a_timeout(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    database = given.world.db
    monkeypatch.setattr(database.fast_reads, "timeout", 0.01)
    for _ in range(database.fast_reads.size):
        await database.fast_reads.slots.acquire()
    try:
        with pytest.raises(PoolTimeout):
            await database.query_many(EVERY, {})
    finally:
        for _ in range(database.fast_reads.size):
            database.fast_reads.slots.release()


async def test_a_cancelled_caller_leaves_no_connection_behind(given: Given) -> None:
    database = given.world.db
    tasks = [asyncio.create_task(database.query_many(EVERY, {})) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await asyncio.gather(*(database.query_many(EVERY, {}) for _ in range(50))) == [[]] * 50
    assert len(database.fast_reads.idle) <= database.fast_reads.size


async def test_a_pool_of_one_has_no_fast_reads(kind: str, new_postgres: Any, tmp_path: Any) -> None:
    if kind == "sqlite":
        url = databases.sqlite_url(tmp_path / "one.db")
        await databases.migrate(url)
    else:
        url = await new_postgres.migrated()
    database = Database.open(url, 1)
    try:
        assert await database.query_many(EVERY, {}) == []
        assert database.fast_reads.idle == []
    finally:
        await database.close()
