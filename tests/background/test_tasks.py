"""Work beside the application ends with it, and all of it within one grace."""

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
    """Work that does not leave when it is told to."""
    await asyncio.Event().wait()


async def test_the_application_ends_its_slow_works_within_one_grace(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (webhooks, worker):  # the loop of each background worker
        monkeypatch.setattr(module, "run_rounds", stubborn)
    async with app.router.lifespan_context(app):
        start = perf_counter()
    assert GRACE <= perf_counter() - start < 2 * GRACE


async def test_works_are_told_to_leave_at_the_same_time_and_may_finish() -> None:
    finished = []

    async def slow(leaving: asyncio.Event) -> None:
        await leaving.wait()
        await asyncio.sleep(GRACE / 2)
        finished.append(perf_counter())

    async with tasks.run_together(tasks.background_task(slow), tasks.background_task(stubborn), tasks.background_task(slow)):
        start = perf_counter()
    assert [GRACE / 2 <= it - start < GRACE for it in finished] == [True, True]


async def test_where_one_cannot_begin_those_before_it_end() -> None:
    told = []

    async def obliging(leaving: asyncio.Event) -> None:
        await leaving.wait()
        told.append("left")

    @asynccontextmanager
    async def broken(*, able: bool = False) -> AsyncIterator[None]:
        if not able:
            raise RuntimeError("cannot begin")
        yield

    with pytest.raises(RuntimeError, match="cannot begin"):
        async with tasks.run_together(tasks.background_task(obliging), broken(), tasks.background_task(obliging)):
            pass
    assert told == ["left"]
