"""Background task that seals new events. Errors are logged and never stop it; the next round retries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import func, select

from app.agreements.ledger import seals
from app.background.tasks import background_task, sleep_or_stop
from app.db.types import UtcDateTime
from app.world import World

SWEEP_INTERVAL = timedelta(hours=1)
MAX_SKEW = timedelta(seconds=2)

log = structlog.get_logger("licentia.seals")


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    """Seal events while the block runs. At its end, wait until a seal in progress is stored."""
    async with background_task(partial(_run, world)):
        yield


async def _run(world: World, leaving: asyncio.Event) -> None:
    swept: datetime | None = None
    while not leaving.is_set():
        swept = await _run_round(world, leaving, swept)
        await sleep_or_stop(leaving, world.settings.seal_interval.total_seconds())


async def _run_round(world: World, leaving: asyncio.Event, swept: datetime | None) -> datetime | None:
    """Seal all unsealed events. Returns the time of the last sweep over all rows, which is due at the start and every hour."""
    now = world.clock.now()
    due = swept is None or now >= swept + SWEEP_INTERVAL
    try:
        if swept is None and await seals.is_newest_missing(world):
            log.error("seals_missing")
        if due:
            await compare_clocks(world)
        while await seals.seal_events(world, sweep=due) == seals.BATCH and not leaving.is_set():
            pass
    except Exception as error:  # noqa: BLE001  above all an unreachable database: the next round may reach it again
        log.warning("seals_wait", cause=type(error).__name__)
        return swept
    return now if due else swept


async def compare_clocks(world: World) -> timedelta:
    """Return how far this process's clock is ahead of the database's. Logs a warning above two seconds (agreements R23)."""
    async with world.db.query() as tx:
        database_now = (await tx.execute(select(func.now(type_=UtcDateTime())))).scalar_one()
    ahead = world.clock.now() - database_now
    if abs(ahead) > MAX_SKEW:
        log.warning("clocks_differ", seconds=ahead.total_seconds())
    return ahead
