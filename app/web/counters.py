"""Counters in the database: attempts at one credential, and events in a window of time. They are the same on every replica.

Each count is one guarded statement whose row count is the answer, so a burst never gets more than the limit. Keys are HMACs of what was
submitted: known and unknown names are limited alike, and the table names nobody (authentication R37, R48). Lock order:
docs/architecture.md, "Lock order".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import structlog
from sqlalchemy import bindparam, case, or_, select, update

from app.db import dialect
from app.db.database import Transaction, on_commit
from app.db.pruning import prune
from app.observability import counters as metrics
from app.web.models import AttemptCounter, FailureCount
from app.web.problems import TooManyAttempts
from app.world import World

log = structlog.get_logger("licentia.counters")
RETENTION = timedelta(days=30)
"""How long a counter of attempts is kept after its last attempt."""


@dataclass(frozen=True)
class WindowLimit:
    """At most `limit` counts in `span`; the window begins with its first count."""

    span: timedelta
    limit: int


@dataclass(frozen=True)
class LockoutSchedule:
    """Which wait follows which attempt, as (number of the attempt, wait); from `stop` attempts on only recovery opens the counter
    (authentication R40)."""

    factor: str
    steps: Sequence[tuple[int, timedelta]]
    stop: int = 100


_attempts = select(AttemptCounter.attempts).where(AttemptCounter.key == bindparam("the_key"))
_windows = select(AttemptCounter.key, AttemptCounter.attempts, AttemptCounter.locked_until)
_windows = _windows.where(AttemptCounter.key.in_(bindparam("the_keys", expanding=True)))


async def count_attempt(tx: Transaction, key: bytes, schedule: LockoutSchedule, now: datetime) -> TooManyAttempts | None:
    """Count one attempt before its credential is checked; returns the refusal, to be raised after the write, if it must not be checked."""
    attempts = AttemptCounter.attempts + 1
    locks = [(attempts >= number, now + wait) for number, wait in reversed(schedule.steps)]
    expires = case((attempts < schedule.stop, now + RETENTION), else_=None)  # one that has stopped is never pruned: only recovery opens it
    values = {"attempts": attempts, "locked_until": case(*locks, else_=None), "expires_at": expires}
    is_open = (AttemptCounter.attempts < schedule.stop, or_(AttemptCounter.locked_until.is_(None), AttemptCounter.locked_until <= now))
    first = {"attempts": 1, "locked_until": None, "expires_at": now + RETENTION}
    if count := await _count(tx, key, is_open, values, first):
        if count >= schedule.steps[0][0]:
            on_commit(tx, metrics.LOCKOUTS.labels(schedule.factor).inc)
        return None
    return await _refusal(tx, key, now, schedule.stop)


async def current_refusal(tx: Transaction, key: bytes, schedule: LockoutSchedule, now: datetime) -> TooManyAttempts | None:
    """The refusal that an attempt would meet now; counts nothing (authentication R45)."""
    is_locked = or_(AttemptCounter.attempts >= schedule.stop, AttemptCounter.locked_until > now)
    if await tx.scalar(select(AttemptCounter.key).where(AttemptCounter.key == key, is_locked)) is None:
        return None
    return await _refusal(tx, key, now, schedule.stop)


async def count_in_window(tx: Transaction, key: bytes, window: WindowLimit, now: datetime) -> TooManyAttempts | None:
    """Count one event in the current window, or begin the next window; returns the refusal when the limit is reached."""
    if await _add_to_window(tx, key, window, now):
        return None
    return await _refusal(tx, key, now, None)


async def _add_to_window(tx: Transaction, key: bytes, window: WindowLimit, now: datetime) -> bool:
    is_over = AttemptCounter.locked_until <= now
    values = {
        "attempts": case((is_over, 1), else_=AttemptCounter.attempts + 1),
        "locked_until": case((is_over, now + window.span), else_=AttemptCounter.locked_until),
        "expires_at": now + window.span,
    }
    first = {"attempts": 1, "locked_until": now + window.span, "expires_at": now + window.span}
    return bool(await _count(tx, key, (or_(is_over, AttemptCounter.attempts < window.limit),), values, first))


async def count_failure(world: World, windows: Mapping[bytes, WindowLimit]) -> None:
    """Count one failure in each window, in a transaction that commits whatever the response will be.

    Raises TooManyAttempts, with the time until the window ends, when one of the limits is reached.
    """
    now = world.clock.now()
    async with world.db.query() as tx:
        rows = (await tx.execute(_windows, {"the_keys": list(windows)})).all()
    ends = [row.locked_until for row in rows if row.locked_until > now and row.attempts >= windows[row.key].limit]
    if ends:
        raise _too_many(now, max(ends))  # counts nothing: a flood of guesses costs one read
    async with world.db.write(commit_now=True) as tx:
        full = [key for key in sorted(windows) if not await _add_to_window(tx, key, windows[key], now)]
        rows = (await tx.execute(_windows, {"the_keys": full})).all() if full else []
    if full:
        raise _too_many(now, max((row.locked_until for row in rows), default=now))


async def count_of(world: World, key: bytes) -> int:
    """How many attempts in a row the counter has."""
    row = await world.db.query_one(_attempts, {"the_key": key})
    return 0 if row is None else int(row.attempts)


async def reset(tx: Transaction, *keys: bytes) -> None:
    """Set counters to zero: a right answer clears the counter of that factor of that account, and no other (authentication R42)."""
    await tx.execute(update(AttemptCounter).where(AttemptCounter.key.in_(keys)).values(attempts=0, locked_until=None))


async def refund(tx: Transaction, key: bytes, **values: Any) -> None:
    """Take one count back: the attempt succeeded, or its credential was never checked. `values` are set as well."""
    counter = update(AttemptCounter).where(AttemptCounter.key == key, AttemptCounter.attempts > 0)
    await tx.execute(counter.values(attempts=AttemptCounter.attempts - 1, **values))


async def prune_counters(world: World) -> int:
    """Delete a batch of expired counters; returns how many."""
    return await prune(world.db, AttemptCounter, AttemptCounter.expires_at <= world.clock.now())


async def prune_failure_counts(world: World) -> int:
    """Delete a batch of the expired rows that replicas of the previous release write; returns how many."""
    return await prune(world.db, FailureCount, FailureCount.until <= world.clock.now())


async def _count(tx: Transaction, key: bytes, is_open: Sequence[Any], values: dict[str, Any], first: dict[str, Any]) -> int:
    """The counter after one more count; 0 when it was not open."""
    counter = update(AttemptCounter).where(AttemptCounter.key == key, *is_open).values(values).returning(AttemptCounter.attempts)
    if count := await tx.scalar(counter):
        return count
    if await dialect.insert_once(tx, AttemptCounter, {"key": key, **first}, unless=["key"]):
        return 1
    return await tx.scalar(counter) or 0  # another transaction inserted the row in between


async def _refusal(tx: Transaction, key: bytes, now: datetime, stop: int | None) -> TooManyAttempts:
    row = (await tx.execute(_windows, {"the_keys": [key]})).one_or_none()
    metrics.login_throttled.inc()
    log.info("throttled", attempts=row.attempts if row is not None else None)  # no event: a flood would write one each (authentication R72)
    if row is None:
        return TooManyAttempts(retry_after=1)  # pruned in between
    if stop is not None and row.attempts >= stop:
        return TooManyAttempts(
            "Too many wrong attempts in a row: the factor is locked. Recover the account, or ask the operator to unlock it.",
            retry_after=3600,
        )
    return _too_many(now, row.locked_until or now)


def _too_many(now: datetime, until: datetime) -> TooManyAttempts:
    return TooManyAttempts(retry_after=max(1, ceil((until - now).total_seconds())))
