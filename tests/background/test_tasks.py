"""Background tasks end with the application, all within one grace period."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from fastapi import FastAPI

from app.background import tasks, worker
from app.webhooks.delivery import runner as webhooks

GRACE = 0.4


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "GRACE", GRACE)


async def stubborn(*_: object) -> None:
    """A task that ignores the stop event."""
    await asyncio.Event().wait()


async def test_the_application_stops_its_slow_tasks_within_one_grace_period(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (webhooks, worker):  # the loop of each background worker
        monkeypatch.setattr(module, "run_rounds", stubborn)
    async with app.router.lifespan_context(app):
        start = perf_counter()
    assert GRACE <= perf_counter() - start < 2 * GRACE


async def test_tasks_are_stopped_at_the_same_time_and_may_finish() -> None:
    finished = []

    async def slow(stopping: asyncio.Event) -> None:
        await stopping.wait()
        await asyncio.sleep(GRACE / 2)
        finished.append(perf_counter())

    async with tasks.run_together(tasks.background_task(slow), tasks.background_task(stubborn), tasks.background_task(slow)):
        start = perf_counter()
    assert [GRACE / 2 <= moment - start < GRACE for moment in finished] == [True, True]


async def test_if_a_task_cannot_start_the_earlier_ones_are_stopped() -> None:
    events = []

    async def obliging(stopping: asyncio.Event) -> None:
        await stopping.wait()
        events.append("left")

    @asynccontextmanager
    async def broken(*, able: bool = False) -> AsyncIterator[None]:
        if not able:
            raise RuntimeError("cannot begin")
        yield

    with pytest.raises(RuntimeError, match="cannot begin"):
        async with tasks.run_together(tasks.background_task(obliging), broken(), tasks.background_task(obliging)):
            pass
    assert events == ["left"]
