"""Await a coroutine with a hard deadline, without waiting for its cancellation to finish."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
_tasks: set[asyncio.Task[Any]] = set()
"""Strong references to running tasks, timed-out ones included: those end when their connection does."""


async def with_deadline(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`. Raises TimeoutError after `seconds`, or the exception that `work` raised.

    Not `asyncio.wait_for`: it waits for the cancelled task, and a connection to a frozen database takes seconds to give up.
    """
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_forget)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()  # no effect on a finished task
    if not done:
        raise TimeoutError
    return task.result()


def _forget(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()  # mark it as retrieved: the event loop would log the exception of an abandoned task
