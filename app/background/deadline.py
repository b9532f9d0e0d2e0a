"""A look at what may never answer, such as a frozen database: whoever looks waits so long, and no longer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Seen = TypeVar("Seen")
_under_way: set[asyncio.Task[Any]] = set()
"""Those that were given up among them: each ends by itself, when its connection does."""


async def within(seconds: float, look: Coroutine[Any, Any, Seen]) -> Seen:
    """What the look sees. Raises TimeoutError, and whatever the look raises.

    Not `wait_for`, which waits for the end of what it has cancelled: a connection to a frozen server takes seconds to give up.
    """
    task = asyncio.create_task(look)
    _under_way.add(task)
    task.add_done_callback(_ended)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()  # no word to one that has ended
    if not done:
        raise TimeoutError
    return task.result()


def _ended(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # asked for, or the loop logs what became of a look that nobody waits for
