"""Runs hot reads as prepared statements of the driver, on connections that stay out of the pool.

SQLAlchemy still compiles the SQL and converts parameters and results. A single read needs no transaction (except in `snapshot`), no
cursor, no pool checkout and no reset. Statements that are completed at execution (`IN` with a list) are refused.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect
from sqlalchemy.engine import result_tuple
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import greenlet_spawn

from app.base.problems import Problem
from app.db import dialect
from app.db.types import AnyRow, AnySelect
from app.db.watchdog import Watchdog

Convert = Callable[[Any], Any]
Result = TypeVar("Result")
Rows: TypeAlias = Callable[[AnySelect, Mapping[str, Any]], Awaitable[Sequence[AnyRow]]]
"""Returns every row of a statement that was built once, at module level."""


class FastReadFailed(Exception):
    """The driver failed; its error is the cause. SQLAlchemy should run the statement instead."""


@dataclass(frozen=True, eq=False)
class PreparedStatement:
    """A statement compiled for one database: its text, and the converters of its parameters and rows."""

    text: str
    given: Mapping[str, Any]
    binds: Sequence[tuple[str, Convert | None]]
    columns: Sequence[tuple[int, Convert]]
    row: Callable[[Sequence[Any]], AnyRow]

    @classmethod
    def of(cls, statement: AnySelect, sql_dialect: Dialect) -> "PreparedStatement":
        compiled = statement.compile(dialect=sql_dialect)
        if compiled.post_compile_params or compiled.literal_execute_params:
            raise TypeError("FastReads runs only statements that are complete when they are compiled")
        columns = statement.selected_columns
        readers = [_resolve_type(column.type, sql_dialect).result_processor(sql_dialect, None) for column in columns]
        return cls(
            text=compiled.string,
            given={name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required},
            binds=[
                (name, _resolve_type(compiled.binds[name].type, sql_dialect).bind_processor(sql_dialect))
                for name in compiled.positiontup or ()
            ],
            columns=[(place, reader) for place, reader in enumerate(readers) if reader is not None],
            row=result_tuple(columns.keys()),
        )

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        given = {**self.given, **parameters}
        return [given[name] if convert is None else convert(given[name]) for name, convert in self.binds]

    def rows(self, raw: Sequence[Any]) -> list[AnyRow]:
        return [self.row(self._read(list(each))) for each in raw]

    def _read(self, values: list[Any]) -> tuple[Any, ...]:
        for place, convert in self.columns:
            values[place] = convert(values[place])
        return tuple(values)


def _resolve_type(type_: TypeEngine[Any], sql_dialect: Dialect) -> TypeEngine[Any]:
    return type_.dialect_impl(sql_dialect)


class PinnedConnection:
    """A connection that FastReads keeps, and the statements prepared on it."""

    def __init__(self, connection: PoolProxiedConnection, sql_dialect: Dialect) -> None:
        self.connection = connection
        self.driver: Any = connection.driver_connection
        if sql_dialect.name == "sqlite":
            self.fetch, self.run = self._of_sqlite, self._run_in_sqlite
        else:
            self.fetch, self.run, self.watch = self._of_postgresql, self._run_in_postgresql, Watchdog.of_connection(connection)
        self.statements: WeakKeyDictionary[PreparedStatement, Any] = WeakKeyDictionary()

    async def _of_sqlite(self, prepared: PreparedStatement, values: Sequence[Any]) -> Sequence[Any]:
        return await self._in_sqlite(prepared.text, values)

    async def _run_in_sqlite(self, text: str) -> None:
        await self._in_sqlite(text, ())

    async def _in_sqlite(self, text: str, values: Sequence[Any]) -> Sequence[Any]:
        try:
            rows: Sequence[Any] = await self.driver.execute_fetchall(text, values)  # one call into the driver's thread
        except Exception as error:
            raise _translate_error(error) from error
        return rows

    async def _of_postgresql(self, prepared: PreparedStatement, values: Sequence[Any]) -> Sequence[Any]:
        with self._watch():
            statement = self.statements.get(prepared)
            if statement is None:
                statement = self.statements[prepared] = await self.driver.prepare(prepared.text)
            rows: Sequence[Any] = await statement.fetch(*values)
        return rows

    async def _run_in_postgresql(self, text: str) -> None:
        with self._watch():
            await self.driver.execute(text)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        self.watch.start()
        try:
            yield
        except Exception as error:
            raise (PoolTimeout("the database did not answer in time") if self.watch.expired else _translate_error(error)) from error
        finally:
            self.watch.stop()


def _translate_error(error: Exception) -> Exception:
    """Translate a driver error. A timeout is final; after another error SQLAlchemy runs the statement."""
    if isinstance(error, PoolTimeout | TimeoutError):
        return error
    return PoolTimeout("the database is busy") if dialect.is_busy(error) else FastReadFailed()


class FastReads:
    """Runs hot reads on at most `size` connections of the pool, which are taken when first needed and pinned until `close`.

    A read waits at most `timeout` seconds for a free connection.
    """

    def __init__(self, engine: AsyncEngine, size: int, timeout: float) -> None:
        self.engine = engine
        self.size = size
        self.timeout = timeout
        self.slots = asyncio.Semaphore(size)
        self.idle: list[PinnedConnection] = []
        self.prepared: WeakKeyDictionary[AnySelect, PreparedStatement] = WeakKeyDictionary()
        self.begin = "BEGIN" if engine.dialect.name == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    async def rows(self, statement: AnySelect, parameters: Mapping[str, Any]) -> list[AnyRow]:
        """Return all rows. Raises FastReadFailed, and the pool's TimeoutError if no connection or no response comes in time, or if busy."""
        await self._acquire_slot()
        try:
            return await self._rows(statement, parameters)
        finally:
            self.slots.release()

    async def _acquire_slot(self) -> None:
        if not self.slots.locked():
            await self.slots.acquire()  # does not wait
            return
        try:
            async with asyncio.timeout(self.timeout):
                await self.slots.acquire()
        except TimeoutError as late:
            raise PoolTimeout("every connection of FastReads is busy") from late

    async def _rows(self, statement: AnySelect, parameters: Mapping[str, Any]) -> list[AnyRow]:
        async with self._connection() as pinned:
            return await self._fetch(pinned, statement, parameters)

    async def snapshot(self, action: Callable[[Rows], Awaitable[Result]]) -> Result:
        """Run an action whose reads all see one snapshot, and return its result. Raises as `rows` does, and any Problem of the action."""
        await self._acquire_slot()
        try:
            async with self._connection() as pinned:
                await pinned.run(self.begin)
                refusal: Problem | None = None
                try:
                    result = await action(partial(self._fetch, pinned))
                except Problem as problem:  # the connection still works
                    refusal = problem
                await pinned.run("COMMIT")
        finally:
            self.slots.release()
        if refusal is not None:
            raise refusal
        return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PinnedConnection]:
        pinned = self.idle.pop() if self.idle else await self._new()
        try:
            yield pinned
        except BaseException:  # also cancellation: the connection may be in the middle of a response
            await greenlet_spawn(pinned.connection.invalidate)
            raise
        self.idle.append(pinned)

    async def _new(self) -> PinnedConnection:
        try:
            return PinnedConnection(await self.engine.raw_connection(), self.engine.dialect)
        except Exception as error:
            raise _translate_error(error) from error

    async def _fetch(self, pinned: PinnedConnection, statement: AnySelect, parameters: Mapping[str, Any]) -> list[AnyRow]:
        prepared = self.prepared.get(statement)
        if prepared is None:
            prepared = self.prepared[statement] = PreparedStatement.of(statement, self.engine.dialect)
        return prepared.rows(await pinned.fetch(prepared, prepared.values(parameters)))

    async def close(self) -> None:
        """Return the idle connections to the pool, which closes them."""
        while self.idle:
            await greenlet_spawn(self.idle.pop().connection.close)
