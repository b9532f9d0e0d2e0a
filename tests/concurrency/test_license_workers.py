"""Concurrent license calls spread over two real servers on one database, on both databases."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from app.base.clock import Clock
from app.world import World
from tests.concurrency import seat_races, term_races
from tests.concurrency.seat_races import Clients
from tests.concurrency.workers import run_two_servers
from tests.given import Given

Race = Callable[[Given, Clients], Awaitable[object]]
RACES: tuple[Race, ...] = (
    seat_races.last_seat,
    seat_races.same_device,
    seat_races.seats_of_each_user,
    seat_races.seats_by_user,
    seat_races.seats_of_processes,
    seat_races.code_uses,
    seat_races.code_without_seat,
    seat_races.code_of_one_device,
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


async def test_r34_limits_hold_across_two_servers(shared_url: str, second_world: World, tmp_path: Path) -> None:
    """One pair of servers runs all races, because starting them is slow."""
    async with run_two_servers(tmp_path, shared_url, second_world) as (given, both):
        for race in (*RACES, lapses):
            await race(given, both)


async def near(ends: datetime) -> None:
    await asyncio.sleep((ends - Clock().now() - timedelta(milliseconds=8)).total_seconds())


async def lapses(given: Given, clients: Clients) -> None:
    """An expiring seat is either renewed or taken over (licensing R23). Several licenses run at a time, to wait for them together."""
    await asyncio.gather(*(seat_races.lapse(given, clients, LEASE, near) for _ in range(LAPSES)))
