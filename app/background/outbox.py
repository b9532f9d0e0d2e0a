"""The parts that the outboxes of mail and webhooks share: claim rows, process them, record the results, and wait before a retry.

Rows are delivered at least once, outside of a transaction. A claim increases `attempts` and sets `claimed_until`: until then no other
process takes the row. If the process dies, the claim expires and the row is delivered again. A result names the `attempts` of its claim,
so a result that is recorded after a later claim changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

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
log = structlog.get_logger("licentia.outbox")


@dataclass(frozen=True)
class Backoff:
    """The waits before the second try, the third, and so on. After the last try the row is given up.

    Up to `jitter` times the wait is added at random, so that rows that failed together are not retried together.
    """

    waits: Sequence[timedelta]
    jitter: float = 0.0

    @property
    def tries(self) -> int:
        return len(self.waits) + 1

    def next_try(self, tries: int, now: datetime, chance: float = 0.0) -> datetime | None:
        """Return the time of the next try after `tries` tries, or None to give up. `chance` is a random number from 0 to 1."""
        return now + self.waits[tries - 1] * (1 + self.jitter * chance) if tries < self.tries else None


def is_unclaimed(claimed_until: InstrumentedAttribute[datetime | None], now: datetime) -> ColumnElement[bool]:
    """Return the SQL condition that no process holds a claim on the row."""
    return or_(claimed_until.is_(None), claimed_until <= now)


def claim_rows(table: Table, candidates: Select[Any], is_free: ColumnElement[bool], until: datetime, **values: Any) -> ReturningUpdate[Any]:
    """Build the statement that claims the candidates until `until`, if they are still free, and returns their rows.

    `candidates` selects the primary key, or the one column of it that `is_free` does not fix. Processes that claim at the same time
    get different rows: PostgreSQL skips locked rows, SQLite has one writer. `values` are further columns to set.
    """
    (key,) = candidates.selected_columns
    picked = candidates.with_for_update(skip_locked=True, of=table).cte("picked")
    claim = update(table).where(key.in_(select(*picked.c)), is_free)
    return claim.values(attempts=table.c.attempts + 1, claimed_until=until, **values).returning(*table.columns)


async def process_rows(
    rows: Sequence[Row], process: Callable[[Row], Awaitable[None]], describe: Callable[[Row], Mapping[str, str]]
) -> None:
    """Process claimed rows concurrently. `describe` returns the log fields of a row.

    An error is logged and leaves the row as it is: when its claim has expired, the row is processed again.
    """

    async def process_row(row: Row) -> None:
        try:
            await process(row)
        except Exception as error:  # noqa: BLE001  it must not affect the other rows
            log.warning("outbox_row_left", cause=type(error).__name__, **describe(row))

    await asyncio.gather(*(process_row(row) for row in rows))


async def retry_recording(record: Callable[[], Awaitable[None]], fields: Mapping[str, str]) -> None:
    """Record a result, and retry while the database is unreachable: without its result a delivered row would be delivered again.

    `record` stores the result in one transaction. It may be called again, and changes nothing if the claim was lost.
    """
    for delay in RECORD_DELAYS:
        try:
            return await record()
        except (DBAPIError, PoolTimeout, OutcomeUnknown, OSError) as error:
            log.warning("outbox_record_retried", cause=type(error).__name__, **fields)
            await asyncio.sleep(delay)
    return await record()
