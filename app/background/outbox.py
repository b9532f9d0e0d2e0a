"""The outbox skeleton of mail and webhooks: claim rows, deliver them outside of a transaction, record each result, retry later.

A claim is `attempts`, increased by one, and a time until which no other process takes the row. A process that dies after the claim
loses it when that time is over, and the row is delivered again: at least once. A result that is recorded after a later claim changes
nothing, because it names the `attempts` that it belongs to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy import ColumnElement, Select, Table, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.dml import ReturningUpdate

from app.base.problems import OutcomeUnknown

RECORD_DELAYS = (0.5, 2.0, 5.0)
"""Seconds before a result is written again after the database could not be reached."""

Row = TypeVar("Row")
Result = TypeVar("Result")
log = structlog.get_logger("licentia.outbox")


@dataclass(frozen=True)
class Backoff:
    """The waits after the first failure, the second, …; after the last one the row is given up.

    `jitter` is the part of a wait that is added at random at most, so that rows that failed together are not retried together.
    """

    waits: Sequence[timedelta]
    jitter: float = 0.0

    @property
    def tries(self) -> int:
        return len(self.waits) + 1

    def next_try(self, tries: int, now: datetime, chance: float = 0.0) -> datetime | None:
        """When to try again after this many tries, or None to give up. `chance` is a random number from 0 to 1."""
        return now + self.waits[tries - 1] * (1 + self.jitter * chance) if tries < self.tries else None


def is_unclaimed(claimed_until: InstrumentedAttribute[datetime | None], now: datetime) -> ColumnElement[bool]:
    """SQL: whether no process holds a claim on the row."""
    return or_(claimed_until.is_(None), claimed_until <= now)


def claim_rows(table: Table, candidates: Select[Any], is_free: ColumnElement[bool], until: datetime, **values: Any) -> ReturningUpdate[Any]:
    """Build the statement that claims the candidates until then, if they are still free, and returns their rows.

    `candidates` selects the primary key, or the part of it that `is_free` leaves open. Processes that claim at the same time get
    different rows: PostgreSQL skips locked rows, SQLite has one writer.
    """
    (key,) = candidates.selected_columns
    picked = candidates.with_for_update(skip_locked=True, of=table).cte("picked")
    claim = update(table).where(key.in_(select(*picked.c)), is_free)
    return claim.values(attempts=table.c.attempts + 1, claimed_until=until, **values).returning(*table.columns)


@dataclass(frozen=True)
class Outbox(Generic[Row, Result]):
    """The steps that differ between outboxes.

    `deliver` sends one claimed row and returns the result, a failure too. `record` stores a result in one transaction, and changes
    nothing if the claim was lost; it may be called again. `describe` returns log fields of a row.
    """

    name: str
    deliver: Callable[[Row], Awaitable[Result]]
    record: Callable[[Row, Result], Awaitable[None]]
    describe: Callable[[Row], Mapping[str, str]]

    async def process(self, rows: Sequence[Row]) -> int:
        """Deliver claimed rows concurrently and record each result; return the number of rows."""
        await asyncio.gather(*(self._process(row) for row in rows))
        return len(rows)

    async def _process(self, row: Row) -> None:
        """An error leaves the row as it is; after its claim it is delivered again."""
        try:
            await self._record(row, await self.deliver(row))
        except Exception as error:  # noqa: BLE001  it must not affect the other rows
            log.warning("outbox_row_left", outbox=self.name, cause=type(error).__name__, **self.describe(row))

    async def _record(self, row: Row, result: Result) -> None:
        """Retry while the database is unreachable: a delivered row without its result would be delivered again."""
        for delay in (*RECORD_DELAYS, None):
            try:
                return await self.record(row, result)
            except (DBAPIError, PoolTimeout, OutcomeUnknown, OSError) as error:
                if delay is None:
                    raise
                log.warning("outbox_record_retried", outbox=self.name, cause=type(error).__name__, **self.describe(row))
                await asyncio.sleep(delay)
        return None
