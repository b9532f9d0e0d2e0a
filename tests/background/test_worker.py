"""The loop of background workers: errors do not end it, more work is done without a wait, and the stop event ends it."""

import asyncio

import pytest

from app.background import wakeup
from app.background.worker import polling_worker, run_rounds, timed_worker
from tests.assertions import DEADLINE

HOUR = 3600.0


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

    await asyncio.wait_for(run_rounds("test", run_round, wait, stopping), DEADLINE)
    assert waits == [2, 0]  # after the error, and after the last round


async def test_a_wakeup_ends_the_wait_and_so_does_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals are hours: neither ends by itself within the deadline."""
    monkeypatch.setattr(wakeup, "IDLE", HOUR)
    monkeypatch.setattr(wakeup, "ACTIVE", HOUR)
    notification, rounds = wakeup.Wakeup(), asyncio.Queue[None]()

    async def run_round(_stopping: asyncio.Event) -> bool:
        rounds.put_nowait(None)
        return False

    async with asyncio.timeout(DEADLINE):
        async with polling_worker("test", run_round, wakeup.PollInterval(notification, active=False)):
            await rounds.get()
            notification.notify()
            await rounds.get()
        async with timed_worker("test", run_round, HOUR):
            await rounds.get()
