"""Background task that seals new events. Errors are logged and never stop it; the next round retries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import func, select

from app.agreements.ledger import seals
from app.background.worker import timed_worker
from app.db.types import UtcDateTime
from app.world import World

SWEEP_INTERVAL = timedelta(hours=1)
MAX_SKEW = timedelta(seconds=2)

log = structlog.get_logger("licentia.seals")


@asynccontextmanager
async def run(world: World) -> AsyncIterator[None]:
    """Seal events while the block runs. At its end, wait until a seal in progress is stored."""
    seconds = world.settings.seal_interval.total_seconds()
    async with timed_worker("seals", partial(_run_round, world, LastSweep()), seconds):
        yield


@dataclass
class LastSweep:
    """The time of the last sweep over all rows, which is due at the start and every hour."""

    at: datetime | None = None


async def _run_round(world: World, last_sweep: LastSweep, stopping: asyncio.Event) -> bool:
    """Seal all unsealed events."""
    now = world.clock.now()
    due = last_sweep.at is None or now >= last_sweep.at + SWEEP_INTERVAL
    if last_sweep.at is None and await seals.is_newest_missing(world):
        log.error("seals_missing")
    if due:
        await compare_clocks(world)
    while await seals.seal_events(world, sweep=due) == seals.BATCH and not stopping.is_set():
        pass
    if due:
        last_sweep.at = now
    return False


async def compare_clocks(world: World) -> timedelta:
    """Return how far this process's clock is ahead of the database's. Logs a warning above two seconds (agreements R23)."""
    async with world.db.query() as tx:
        database_now = (await tx.execute(select(func.now(type_=UtcDateTime())))).scalar_one()
    ahead = world.clock.now() - database_now
    if abs(ahead) > MAX_SKEW:
        log.warning("clocks_differ", seconds=ahead.total_seconds())
    return ahead
