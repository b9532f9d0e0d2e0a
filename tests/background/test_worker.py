"""The loop of background workers: errors do not end it, more work is done without a wait, and the stop event ends it."""

import asyncio

from app.background.wakeup import PollInterval, Wakeup
from app.background.worker import polling_worker, run_rounds, timed_worker

TIMEOUT = 5.0


async def test_errors_do_not_end_the_loop_and_more_work_needs_no_wait() -> None:
    outcomes: list[bool | Exception] = [True, OSError(), True, False]
    waits, stopping = list[int](), asyncio.Event()

    async def run_round(_stopping: asyncio.Event) -> bool:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def wait(stopping: asyncio.Event) -> None:
        waits.append(len(outcomes))
        if not outcomes:
            stopping.set()

    await asyncio.wait_for(run_rounds("test", run_round, wait, stopping), TIMEOUT)
    assert waits == [2, 0]  # after the error, and after the last round


async def test_a_wakeup_ends_the_wait_and_so_does_the_stop() -> None:
    """Both are far shorter than the interval."""
    wakeup, rounds = Wakeup(), asyncio.Queue[None]()

    async def run_round(_stopping: asyncio.Event) -> bool:
        rounds.put_nowait(None)
        return False

    start = asyncio.get_running_loop().time()
    async with polling_worker("test", run_round, PollInterval(wakeup, active=False)):
        await rounds.get()
        wakeup.notify()
        await rounds.get()
    async with timed_worker("test", run_round, 60.0):
        await rounds.get()
    assert asyncio.get_running_loop().time() - start < TIMEOUT
