"""The one who seals: beside the application, from its start to its end. Nothing that goes wrong stops it; what it misses stays until
the next time."""

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

SWEEPS = timedelta(hours=1)
SKEW = timedelta(seconds=2)

log = structlog.get_logger("licentia.seals")


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    """Events are sealed while the block runs. At its end a seal that is being made is finished first."""
    async with background_task(partial(_watch, world)):
        yield


async def _watch(world: World, leaving: asyncio.Event) -> None:
    swept: datetime | None = None
    while not leaving.is_set():
        swept = await _round(world, leaving, swept)
        await sleep_or_stop(leaving, world.settings.seal_interval.total_seconds())


async def _round(world: World, leaving: asyncio.Event, swept: datetime | None) -> datetime | None:
    """Seal all there is; when the rows were last swept. At the start and every hour all of them are looked at."""
    now = world.clock.now()
    due = swept is None or now >= swept + SWEEPS
    try:
        if swept is None and await seals.is_newest_missing(world):
            log.error("seals_missing")
        if due:
            await compare_clocks(world)
        while await seals.seal_events(world, sweep=due) == seals.BATCH and not leaving.is_set():
            pass
    except Exception as error:  # noqa: BLE001  a database that is away, above all: the next round may find it again
        log.warning("seals_wait", cause=type(error).__name__)
        return swept
    return now if due else swept


async def compare_clocks(world: World) -> timedelta:
    """By how much this process's clock is ahead of the database's; a warning from two seconds on (agreements R23)."""
    async with world.db.query() as tx:
        theirs = (await tx.execute(select(func.now(type_=UtcDateTime())))).scalar_one()
    ahead = world.clock.now() - theirs
    if abs(ahead) > SKEW:
        log.warning("clocks_differ", seconds=ahead.total_seconds())
    return ahead
