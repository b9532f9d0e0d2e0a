"""The loop of a background worker: a round of work, a wait, the next round, until the application stops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

import structlog

from app.background.tasks import background_task, sleep_or_stop
from app.background.wakeup import PollInterval

Round: TypeAlias = Callable[[asyncio.Event], Awaitable[bool]]
"""One round of work. Gets the stop event; returns whether more work is due, so that the next round begins without a wait."""
Wait: TypeAlias = Callable[[asyncio.Event], Awaitable[None]]
"""The wait between two rounds. Gets the stop event and ends early when that is set."""

log = structlog.get_logger("licentia.background")


async def run_rounds(name: str, run_round: Round, wait: Wait, stopping: asyncio.Event) -> None:
    """Run rounds until the stop event is set. Errors, such as an unreachable database, are logged and followed by the wait."""
    while not stopping.is_set():
        try:
            more = await run_round(stopping)
        except Exception as error:  # noqa: BLE001  nothing may end the worker
            log.warning("worker_round_failed", worker=name, cause=type(error).__name__)
            more = False
        if not more:
            await wait(stopping)


@asynccontextmanager
async def polling_worker(name: str, run_round: Round, interval: PollInterval) -> AsyncIterator[None]:
    """Run rounds while the block runs, at the poll interval and after each wake-up. At the end, wait for the current round."""

    async def wait(_stopping: asyncio.Event) -> None:
        await interval.wait()  # the notification below ends it

    async with background_task(partial(run_rounds, name, run_round, wait), interval.wakeup.notify):
        yield


@asynccontextmanager
async def timed_worker(name: str, run_round: Round, seconds: float) -> AsyncIterator[None]:
    """Run rounds while the block runs, `seconds` apart. At the end, wait for the current round."""

    async def wait(stopping: asyncio.Event) -> None:
        await sleep_or_stop(stopping, seconds)

    async with background_task(partial(run_rounds, name, run_round, wait)):
        yield
