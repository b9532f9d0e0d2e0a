"""Licenses under sixteen hands at once, spread over two real servers on one database. Both databases."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app.base.clock import Clock
from app.base.settings import Settings
from app.world import World
from tests.concurrency import seat_races, term_races
from tests.concurrency.seat_races import Clients
from tests.concurrency.workers import RealClock, root_of, server
from tests.conftest import SECRETS
from tests.given import Given

Race = Callable[[Given, Clients], Awaitable[object]]
FOR_SEATS: tuple[Race, ...] = (
    seat_races.last_seat,
    seat_races.same_device,
    seat_races.seats_of_each_user,
    seat_races.seats_by_user,
    seat_races.seats_of_processes,
    seat_races.code_uses,
    seat_races.code_without_seat,
    seat_races.code_of_one_device,
)
FOR_TERMS: tuple[Race, ...] = (
    term_races.usage,
    term_races.first_activation,
    term_races.one_trial,
    term_races.user_removed,
    term_races.smaller_policy,
    term_races.other_kind,
    term_races.suspended,
    term_races.guesses,
    term_races.rotated,
)
LEASE, LAPSES = "PT4S", 6


@pytest.fixture
async def world(shared: str) -> AsyncIterator[World]:
    made = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": shared}))
    yield made
    await made.db.close()


@asynccontextmanager
async def two(home: Path, url: str, world: World) -> AsyncIterator[tuple[Given, Clients]]:
    """Two servers on the database, a client of each, and builders over the first."""
    with server(home, url) as one, server(home, url) as other:
        async with httpx.AsyncClient(base_url=one.base, timeout=30) as first, httpx.AsyncClient(base_url=other.base, timeout=30) as second:
            yield Given(first, world, RealClock(), await root_of(world)), (first, second)


@pytest.mark.parametrize("races", [FOR_SEATS, FOR_TERMS], ids=["seats", "terms"])
async def test_r34_two_workers_share_nothing_but_the_database(shared: str, world: World, tmp_path: Path, races: tuple[Race, ...]) -> None:
    async with two(tmp_path, shared, world) as (given, both):
        for race in races:
            await race(given, both)


async def test_r23_a_lapsing_seat_is_renewed_or_taken_over_and_never_both(shared: str, world: World, tmp_path: Path) -> None:
    """Several licenses at a time, so that their leases are waited for together."""

    async def near(ends: datetime) -> None:
        await asyncio.sleep((ends - Clock().now() - timedelta(milliseconds=8)).total_seconds())

    async with two(tmp_path, shared, world) as (given, both):
        await asyncio.gather(*(seat_races.lapse(given, both, LEASE, near) for _ in range(LAPSES)))
