"""The ways to use the database: `read()`, `query()`, `query_one()`/`query_many()`, `snapshot()` and `write()`.

SQLAlchemy Core only: no identity map, no lazy loading.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from sqlalchemy.exc import DBAPIError, MultipleResultsFound
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.base.problems import OutcomeUnknown
from app.db import dialect
from app.db.dialect import Timeouts
from app.db.fast_reads import FastReadFailed, FastReads, Rows
from app.db.types import AnyRow, AnySelect

Transaction: TypeAlias = AsyncConnection
"""A connection inside a transaction that its use case owns; from `query()`, an autocommit connection. Steps get it as first parameter."""

Result = TypeVar("Result")
_ON_COMMIT = "on_commit"
_writing: ContextVar[bool] = ContextVar("writing", default=False)
"""Whether this task is in a `write()`, to refuse a nested one. A ContextVar, because the two may use different Database objects."""


@dataclass
class PendingWrite:
    """A write whose commit waits until the response can be stored with it (`web/pipeline/idempotency.py`).

    `tx` is None until the use case has written.
    """

    stack: AsyncExitStack
    tx: Transaction | None = None


def on_commit(tx: Transaction, action: Callable[[], None]) -> None:
    """Run an action after the transaction has committed; never after a rollback. It must not block or raise: it updates metrics."""
    tx.info.setdefault(_ON_COMMIT, []).append(action)


async def _begin(tx: Transaction) -> None:
    await dialect.begin_write(tx)
    tx.info.pop(_ON_COMMIT, None)  # `info` belongs to the connection: drop the actions of an earlier transaction that was rolled back


async def _commit(tx: Transaction) -> None:
    """Commit and run the `on_commit` actions. Raises OutcomeUnknown if the connection is lost before the commit is confirmed."""
    try:
        await tx.commit()
    except PoolTimeout as error:
        raise OutcomeUnknown from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise OutcomeUnknown from error
        raise
    for action in tx.info.pop(_ON_COMMIT, ()):
        action()


async def _rows(tx: Transaction, statement: AnySelect, parameters: Mapping[str, Any]) -> Sequence[AnyRow]:
    return (await tx.execute(statement, parameters)).all()


@dataclass(frozen=True)
class Database:
    """The engines of one database. `pending`: the write of this request that waits for its response. `read()`, hot reads and
    `snapshot()` see it afterwards; `query()` does not."""

    url: str = field(repr=False)
    reader: AsyncEngine = field(repr=False)
    writer: AsyncEngine = field(repr=False)
    fast_reads: FastReads = field(repr=False)
    pending: PendingWrite | None = field(default=None, repr=False)

    @classmethod
    def open(cls, url: str, pool: int = 10, timeouts: Timeouts = Timeouts(), *, durable: bool = True) -> "Database":  # noqa: B008  frozen
        """Create the engines; no connection is opened yet. `pool`: the maximum number of connections; FastReads uses up to half of them.

        `durable=False` is for tests only: SQLite may then lose commits after a power cut.
        """
        reader, writer = dialect.create_engines(url, pool, timeouts, durable=durable)
        return cls(url, reader, writer, FastReads(reader, pool // 2, timeouts.pool))

    async def close(self) -> None:
        await self.fast_reads.close()
        await self.reader.dispose()
        await self.writer.dispose()

    def connections(self) -> tuple[int, int]:
        """Return the connections of this process as (in use, maximum). An idle connection of FastReads does not count as in use."""
        pools: list[Any] = [engine.pool for engine in {self.reader, self.writer}]
        return sum(pool.checkedout() for pool in pools) - len(self.fast_reads.idle), sum(pool.size() for pool in pools)

    @property
    def _pending_tx(self) -> Transaction | None:
        """The transaction of the pending write; None before the use case has written."""
        return None if self.pending is None else self.pending.tx

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Open a read-only transaction over one snapshot; after a pending write, use the transaction of that write."""
        if (pending_tx := self._pending_tx) is not None:
            yield pending_tx
            return
        async with self.reader.connect() as tx:
            await dialect.begin_read(tx)
            yield tx

    @asynccontextmanager
    async def query(self) -> AsyncIterator[Transaction]:
        """Open an autocommit connection for single statements. Each statement sees its own snapshot."""
        async with self.reader.connect() as tx:
            await dialect.use_autocommit(tx)
            yield tx

    async def query_with_retry(self, action: Callable[[Transaction], Awaitable[Result]]) -> Result:
        """Run a read-only action with `query()`, and again if the pooled connection was dead."""
        return await self._retry_lost(self.query, action)

    async def _retry_lost(
        self, connect: Callable[[], AbstractAsyncContextManager[Transaction]], action: Callable[[Transaction], Awaitable[Result]]
    ) -> Result:
        """Run a read, and again if the pooled connection was dead."""
        try:
            async with connect() as tx:
                return await action(tx)
        except DBAPIError as error:
            if (
                not error.connection_invalidated or self._pending_tx is not None
            ):  # the pending write is lost too, and repeating the read does not repeat it
                raise
        async with connect() as tx:
            return await action(tx)

    async def query_one(self, statement: AnySelect, parameters: Mapping[str, Any]) -> AnyRow | None:
        """Return the only row of a hot read, or None. Raises MultipleResultsFound."""
        rows = await self.query_many(statement, parameters)
        if len(rows) > 1:
            raise MultipleResultsFound("a statement for one row returned more")
        return rows[0] if rows else None

    async def query_many(self, statement: AnySelect, parameters: Mapping[str, Any]) -> Sequence[AnyRow]:
        """Return every row of a hot read. The statement must be built once, at module level. Sees the pending write.

        If FastReads fails because of a connection or the driver, SQLAlchemy runs the statement. After a timeout, or if the database is
        busy, there is no second try.
        """
        if self.fast_reads.size and self._pending_tx is None:
            try:
                return await self.fast_reads.rows(statement, parameters)
            except FastReadFailed:  # SQLAlchemy succeeds, or raises an error that callers handle
                pass
        connect = self.query if self._pending_tx is None else self.read
        return await self._retry_lost(connect, lambda tx: _rows(tx, statement, parameters))

    async def snapshot(self, action: Callable[[Rows], Awaitable[Result]]) -> Result:
        """Run an action whose hot reads all see one snapshot (REPEATABLE READ), and return its result. Raises what the action raises.

        The action runs again only if a connection or the driver failed.
        """
        if self.fast_reads.size and self._pending_tx is None:
            try:
                return await self.fast_reads.snapshot(action)
            except FastReadFailed:
                pass
        return await self._retry_lost(self.read, lambda tx: action(partial(_rows, tx)))

    @asynccontextmanager
    async def write(self, *, commit_now: bool = False) -> AsyncIterator[Transaction]:
        """Open a transaction that commits at the end of the block and rolls back on any exception.

        `commit_now`: commit immediately even if the request has an Idempotency-Key; for attempts that must be counted for every outcome.
        A use case has at most one write without it, and that write is its last. Raises RuntimeError for a nested write.
        """
        if _writing.get() or self._pending_tx is not None:
            raise RuntimeError("a write inside a write, or after the pending write")
        token = _writing.set(True)
        try:
            if self.pending is None or commit_now:
                async with self.writer.connect() as tx:
                    await _begin(tx)
                    yield tx
                    await _commit(tx)
            else:
                tx = await self._open(self.pending)
                try:
                    yield tx
                except BaseException:
                    await tx.rollback()
                    await self.pending.stack.aclose()
                    raise
                self.pending.tx = tx
        finally:
            _writing.reset(token)

    async def _open(self, pending: PendingWrite) -> Transaction:
        tx = await pending.stack.enter_async_context(self.writer.connect())
        await _begin(tx)
        return tx

    @asynccontextmanager
    async def hold_commit(self) -> AsyncIterator[PendingWrite]:
        """Create a write whose commit waits, for `world.for_request`. Without `commit_with` it is rolled back at the end of the block."""
        async with AsyncExitStack() as stack:
            yield PendingWrite(stack)

    @asynccontextmanager
    async def commit_with(self, pending: PendingWrite) -> AsyncIterator[Transaction]:
        """Continue the pending write, or begin one if the use case wrote nothing; commit at the end of the block."""
        if pending.tx is None:
            pending.tx = await self._open(pending)
        yield pending.tx
        await _commit(pending.tx)
