"""Background tasks of the application's lifespan. On shutdown each is signalled, given a grace period, then cancelled."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

GRACE = 10.0
"""Seconds a task has to finish its current work after the stop signal."""


def _no_wakeup() -> None:
    """Default for tasks that only wait for the stop event."""


@asynccontextmanager
async def background_task(
    work: Callable[[asyncio.Event], Coroutine[Any, Any, None]], wake: Callable[[], None] = _no_wakeup
) -> AsyncIterator[None]:
    """Run `work(stopping)` while the block runs.

    At the end the event is set and `wake` is called, for a task that waits for something else.
    """
    stopping = asyncio.Event()
    task = asyncio.create_task(work(stopping))
    try:
        yield
    finally:
        stopping.set()
        wake()
        await asyncio.wait({task}, timeout=GRACE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def run_together(*tasks: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
    """Enter all context managers in order and leave them concurrently, so that their grace periods overlap."""
    stacks = [AsyncExitStack() for _ in tasks]
    try:
        for stack, task in zip(stacks, tasks, strict=True):
            await stack.enter_async_context(task)
        yield
    finally:
        await asyncio.gather(*(stack.aclose() for stack in stacks))


async def sleep_or_stop(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep for `seconds`, or until the stop event is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
