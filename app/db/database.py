"""The only ways into the database: `read()`, `write()` and `lookup()`. Core statements; no identity map, nothing lazy."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.db import dialect

Session: TypeAlias = AsyncConnection
"""What a step is handed: a connection inside a transaction that its use case owns."""

Found = TypeVar("Found")


@dataclass
class Held:
    """A write whose commit waits until the answer can be stored with it (`web/idempotency.py`)."""

    stack: AsyncExitStack
    session: Session | None = None


_writing: ContextVar[bool] = ContextVar("writing", default=False)
_held: ContextVar[Held | None] = ContextVar("held", default=None)


@dataclass(frozen=True)
class Database:
    """`read()` sees one snapshot, `write()` commits at its end, `lookup()` runs single statements without a transaction."""

    url: str = field(repr=False)
    reader: AsyncEngine = field(repr=False)
    writer: AsyncEngine = field(repr=False)

    @classmethod
    def open(cls, url: str, pool: int = 10) -> "Database":
        return cls(url, *dialect.engines(url, pool))

    async def close(self) -> None:
        await self.reader.dispose()
        await self.writer.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Session]:
        """A read-only transaction over one snapshot; inside a held write it sees that write."""
        held = _held.get()
        if held is not None and held.session is not None:
            yield held.session
            return
        async with self.reader.connect() as session:
            await dialect.begin_read(session)
            yield session

    @asynccontextmanager
    async def lookup(self) -> AsyncIterator[Session]:
        """An autocommit connection for hot reads: each statement is consistent by itself."""
        async with self.reader.connect() as session:
            await dialect.autocommit(session)
            yield session

    async def find(self, ask: Callable[[Session], Awaitable[Found]]) -> Found:
        """Run one read-only `ask` by `lookup()`, once more if the pooled connection turns out to be dead."""
        try:
            async with self.lookup() as session:
                return await ask(session)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        async with self.lookup() as session:
            return await ask(session)

    @asynccontextmanager
    async def write(self, *, stands: bool = False) -> AsyncIterator[Session]:
        """A transaction that commits at the end of the block and rolls back on any exception.

        `stands`: commit at once even under an `Idempotency-Key`, for what must last whatever the answer will be (a spent
        attempt). A use case has at most one write that does not stand, and it comes last.
        """
        held = _held.get()
        if _writing.get() or (held is not None and held.session is not None):
            raise RuntimeError("a write inside or after a write: the use case has one too many")
        mark = _writing.set(True)
        try:
            if held is None or stands:
                async with self.writer.connect() as session:
                    await dialect.begin_write(session)
                    yield session
                    await session.commit()
            else:
                session = await held.stack.enter_async_context(self.writer.connect())
                await dialect.begin_write(session)
                try:
                    yield session
                except BaseException:
                    await session.rollback()
                    await held.stack.aclose()
                    raise
                held.session = session
        finally:
            _writing.reset(mark)

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[Held]:
        """Within this block, the use case's write stays open for `settle`; leaving without it rolls back."""
        async with AsyncExitStack() as stack:
            held = Held(stack)
            mark = _held.set(held)
            try:
                yield held
            finally:
                _held.reset(mark)

    @asynccontextmanager
    async def settle(self, held: Held) -> AsyncIterator[Session]:
        """The held write, or a fresh one if the use case wrote nothing; commits at the end of the block."""
        if held.session is None:
            held.session = await held.stack.enter_async_context(self.writer.connect())
            await dialect.begin_write(held.session)
        yield held.session
        await held.session.commit()
