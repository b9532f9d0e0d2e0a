"""The only ways into the database: `read()`, `write()`, `query()` and, for one prepared statement, `query_one()` and `query_many()`.
Core statements; no identity map, nothing lazy."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy.exc import DBAPIError, MultipleResultsFound
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.base.problems import OutcomeUnknown
from app.db import dialect
from app.db.dialect import Timeouts
from app.db.fast_reads import FastReadFailed, FastReads, Rows
from app.db.types import AnyRow, AnySelect

Transaction: TypeAlias = AsyncConnection
"""What a step is handed: a connection inside a transaction that its use case owns."""

Found = TypeVar("Found")


@dataclass
class PendingWrite:
    """A write whose commit waits until the answer can be stored with it (`web/idempotency.py`)."""

    stack: AsyncExitStack
    tx: Transaction | None = None


_afterwards: WeakKeyDictionary[Transaction, list[Callable[[], None]]] = WeakKeyDictionary()
_writing: ContextVar[bool] = ContextVar("writing", default=False)
_held: ContextVar[PendingWrite | None] = ContextVar("held", default=None)


def on_commit(tx: Transaction, act: Callable[[], None]) -> None:
    """Do this at once after the transaction stands, and not at all if it does not. For counting: it must neither wait nor fail."""
    _afterwards.setdefault(tx, []).append(act)


async def _commit(tx: Transaction) -> None:
    """Raises OutcomeUnknown when nobody can tell whether it was committed: the connection was lost between the word and its answer."""
    try:
        await tx.commit()
    except PoolTimeout as late:
        raise OutcomeUnknown from late
    except DBAPIError as error:
        if error.connection_invalidated:
            raise OutcomeUnknown from error
        raise
    for act in _afterwards.pop(tx, ()):
        act()


def _own_write() -> Transaction | None:
    """The held write of this use case, once it has written."""
    held = _held.get()
    return None if held is None else held.tx


async def _rows(tx: Transaction, statement: AnySelect, parameters: Mapping[str, Any]) -> Sequence[AnyRow]:
    return (await tx.execute(statement, parameters)).all()


@dataclass(frozen=True)
class Database:
    """`read()` sees one snapshot, `write()` commits at its end, `query()` runs single statements without a transaction.

    `query_one()` and `query_many()` run a single statement that was built once, at module level, in a third of a lookup's time.
    """

    url: str = field(repr=False)
    reader: AsyncEngine = field(repr=False)
    writer: AsyncEngine = field(repr=False)
    fast_reads: FastReads = field(repr=False)

    @classmethod
    def open(cls, url: str, pool: int = 10, patience: Timeouts = Timeouts(), *, lasting: bool = True) -> "Database":  # noqa: B008  frozen
        """`pool` connections at most; half of them are for the fast lane once it was used. Not `lasting`: a power cut may take
        back what SQLite has committed, which nobody but a test wants."""
        reader, writer = dialect.create_engines(url, pool, patience, lasting=lasting)
        return cls(url, reader, writer, FastReads(reader, pool // 2, patience.pool))

    async def close(self) -> None:
        await self.fast_reads.close()
        await self.reader.dispose()
        await self.writer.dispose()

    def connections(self) -> tuple[int, int]:
        """(in use, most) of this process; a connection that waits in the fast lane is not in use."""
        pools: list[Any] = [engine.pool for engine in {self.reader, self.writer}]
        return sum(pool.checkedout() for pool in pools) - len(self.fast_reads.idle), sum(pool.size() for pool in pools)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """A read-only transaction over one snapshot; inside a held write it sees that write."""
        if (own := _own_write()) is not None:
            yield own
            return
        async with self.reader.connect() as tx:
            await dialect.begin_read(tx)
            yield tx

    @asynccontextmanager
    async def query(self) -> AsyncIterator[Transaction]:
        """An autocommit connection for hot reads: each statement is consistent by itself."""
        async with self.reader.connect() as tx:
            await dialect.use_autocommit(tx)
            yield tx

    async def find(self, ask: Callable[[Transaction], Awaitable[Found]]) -> Found:
        """Run one read-only `ask` by `query()`, once more if the pooled connection turns out to be dead."""
        return await self._found(self.query, ask)

    async def _found(
        self, way: Callable[[], AbstractAsyncContextManager[Transaction]], ask: Callable[[Transaction], Awaitable[Found]]
    ) -> Found:
        try:
            async with way() as session:
                return await ask(session)
        except DBAPIError as error:
            if not error.connection_invalidated or _own_write() is not None:  # a lost write is not done again by reading
                raise
        async with way() as session:
            return await ask(session)

    async def query_one(self, statement: AnySelect, parameters: Mapping[str, Any]) -> AnyRow | None:
        """The only row of a hot read, or None. Raises MultipleResultsFound."""
        found = await self.query_many(statement, parameters)
        if len(found) > 1:
            raise MultipleResultsFound("a statement for one row found more")
        return found[0] if found else None

    async def query_many(self, statement: AnySelect, parameters: Mapping[str, Any]) -> Sequence[AnyRow]:
        """Every row of a hot read; after a held write, of what that wrote too.

        Where a connection or the driver fails in the fast lane, the ordinary way has its say. A database that is busy, or does
        not answer in time, is not asked again: whoever waits has waited enough.
        """
        if self.fast_reads.size and _own_write() is None:
            try:
                return await self.fast_reads.rows(statement, parameters)
            except FastReadFailed:  # the same statement by SQLAlchemy works, or tells it in our words
                pass
        way = self.query if _own_write() is None else self.read
        return await self._found(way, lambda session: _rows(session, statement, parameters))

    async def snapshot(self, ask: Callable[[Rows], Awaitable[Found]]) -> Found:
        """What `ask` finds by hot reads that all see one moment (REPEATABLE READ), as `query_many` does. Raises whatever `ask` raises;
        it is asked again only where a connection or the driver failed."""
        if self.fast_reads.size and _own_write() is None:
            try:
                return await self.fast_reads.snapshot(ask)
            except FastReadFailed:
                pass
        return await self._found(self.read, lambda session: ask(partial(_rows, session)))

    @asynccontextmanager
    async def write(self, *, commit_now: bool = False) -> AsyncIterator[Transaction]:
        """A transaction that commits at the end of the block and rolls back on any exception.

        `commit_now`: commit at once even under an `Idempotency-Key`, for what must last whatever the answer will be (a spent
        attempt). A use case has at most one write that does not stand, and it comes last.
        """
        held = _held.get()
        if _writing.get() or (held is not None and held.tx is not None):
            raise RuntimeError("a write inside or after a write: the use case has one too many")
        mark = _writing.set(True)
        try:
            if held is None or commit_now:
                async with self.writer.connect() as tx:
                    await dialect.begin_write(tx)
                    yield tx
                    await _commit(tx)
            else:
                tx = await held.stack.enter_async_context(self.writer.connect())
                await dialect.begin_write(tx)
                try:
                    yield tx
                except BaseException:
                    await tx.rollback()
                    await held.stack.aclose()
                    raise
                held.tx = tx
        finally:
            _writing.reset(mark)

    @asynccontextmanager
    async def hold_commit(self) -> AsyncIterator[PendingWrite]:
        """Within this block, the use case's write stays open for `commit_with`; leaving without it rolls back."""
        async with AsyncExitStack() as stack:
            held = PendingWrite(stack)
            mark = _held.set(held)
            try:
                yield held
            finally:
                _held.reset(mark)

    @asynccontextmanager
    async def commit_with(self, held: PendingWrite) -> AsyncIterator[Transaction]:
        """The held write, or a fresh one if the use case wrote nothing; commits at the end of the block."""
        if held.tx is None:
            held.tx = await held.stack.enter_async_context(self.writer.connect())
            await dialect.begin_write(held.tx)
        yield held.tx
        await _commit(held.tx)
