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


class StubbornTasks:
    """Tasks that see the stop event and do not end before they are cancelled. `events` has both, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def run(self, *arguments: object) -> None:
        stopping = arguments[-1]
        assert isinstance(stopping, asyncio.Event)
        await stopping.wait()
        self.events.append("signalled")
        try:
            await asyncio.Event().wait()
        finally:
            self.events.append("cancelled")


async def test_the_application_stops_its_slow_tasks_within_one_grace_period(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are signalled before the first is cancelled, so their grace periods overlap."""
    stubborn = StubbornTasks()
    for module in (webhooks, worker):  # the loop of each background worker
        monkeypatch.setattr(module, "run_rounds", stubborn.run)
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0)  # every task begins
        start = perf_counter()
    assert perf_counter() - start >= GRACE
    count = len(stubborn.events) // 2
    assert count > 1
    assert stubborn.events == ["signalled"] * count + ["cancelled"] * count


async def test_tasks_are_stopped_at_the_same_time_and_may_finish() -> None:
    stubborn = StubbornTasks()

    async def slow(stopping: asyncio.Event) -> None:
        await stopping.wait()
        for _ in range(3):
            await asyncio.sleep(0)
        stubborn.events.append("finished")

    async with tasks.run_together(tasks.background_task(slow), tasks.background_task(stubborn.run), tasks.background_task(slow)):
        await asyncio.sleep(0)
    assert stubborn.events == ["signalled", "finished", "finished", "cancelled"]


async def test_if_a_task_cannot_start_the_earlier_ones_are_stopped() -> None:
    events = []

    async def compliant(stopping: asyncio.Event) -> None:
        await stopping.wait()
        events.append("stopped")

    @asynccontextmanager
    async def broken(*, able: bool = False) -> AsyncIterator[None]:
        if not able:
            raise RuntimeError("cannot begin")
        yield

    with pytest.raises(RuntimeError, match="cannot begin"):
        async with tasks.run_together(tasks.background_task(compliant), broken(), tasks.background_task(compliant)):
            pass
    assert events == ["stopped"]
