"""Work beside the application, from its start to its end: told when it is time to leave, given a while to finish, then cut short."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

GRACE = 10.0
"""Seconds in which what is under way may finish."""


def _nothing() -> None:
    """Nobody has to be woken."""


@asynccontextmanager
async def beside(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]], wake: Callable[[], None] = _nothing) -> AsyncIterator[None]:
    """`work` runs while the block does. Its event is set at the end; `wake` is called then, for work that waits for something else."""
    leaving = asyncio.Event()
    task = asyncio.create_task(work(leaving))
    try:
        yield
    finally:
        leaving.set()
        wake()
        await asyncio.wait({task}, timeout=GRACE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def together(*works: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
    """All of these run while the block does. They begin in their order and end at the same time, so that the last of several slow ones
    does not have to wait for the grace of each before it."""
    begun = [AsyncExitStack() for _ in works]
    try:
        for stack, work in zip(begun, works, strict=True):
            await stack.enter_async_context(work)
        yield
    finally:
        await asyncio.gather(*(stack.aclose() for stack in begun))


async def rest(leaving: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until it is time to leave."""
    with suppress(TimeoutError):
        await asyncio.wait_for(leaving.wait(), seconds)
