"""Concurrent calls spread over two real servers on one database, on both databases: licenses, logins and decisions."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from app.base.clock import Clock
from app.world import World
from tests.agreements import making
from tests.concurrency import login_races, seat_races, term_races
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
HASH_SLOTS = "16"
"""Concurrent hashes per server; with the thirty-two that wait, all calls of a race reach the counters at once."""
LEASE, LAPSES = "PT4S", 6


async def test_r34_limits_hold_across_two_servers(shared_url: str, second_world: World, tmp_path: Path) -> None:
    """One pair of servers runs all races, because starting them is slow."""
    async with run_two_servers(tmp_path, shared_url, second_world, LICENTIA_HASH_SLOTS=HASH_SLOTS) as (given, both):
        for race in (*RACES, lapses, *login_races.RACES, one_presentation):
            await race(given, both)


async def near(ends: datetime) -> None:
    await asyncio.sleep((ends - Clock().now() - timedelta(milliseconds=8)).total_seconds())


async def lapses(given: Given, clients: Clients) -> None:
    """An expiring seat is either renewed or taken over (licensing R23). Several licenses run at a time, to wait for them together."""
    await asyncio.gather(*(seat_races.lapse(given, clients, LEASE, near) for _ in range(LAPSES)))


async def one_presentation(given: Given, both: Clients) -> None:
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    body = {"decision": "accept", "text_sha256": presentation["text"]["sha256"]}
    path = f"/v1/me/presentations/{presentation['id']}/decision"
    answers = await asyncio.gather(*(both[n % 2].post(path, json=body, headers=person.auth) for n in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["event"] for answer in answers}) == 1
