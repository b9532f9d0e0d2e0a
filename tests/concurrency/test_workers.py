"""Two real servers on one database, and the shutdown of one. Kills are in tests/faults."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx

from app.world import World
from tests.agreements import making
from tests.concurrency import login_races
from tests.concurrency.seat_races import Clients
from tests.concurrency.workers import run_two_servers
from tests.given import Given
from tests.random_keys import SECRETS
from tests.servers import Running

HASH_SLOTS = "16"
"""Concurrent hashes per server; with the thirty-two that wait, all calls of a race reach the counters at once."""


async def test_limits_hold_across_two_servers(shared_url: str, second_world: World, tmp_path: Path) -> None:
    """Logins and decisions; licenses have their own test (test_license_workers.py)."""
    async with run_two_servers(tmp_path, shared_url, second_world, LICENTIA_HASH_SLOTS=HASH_SLOTS) as (given, both):
        for race in (*login_races.RACES, one_presentation):
            await race(given, both)


async def one_presentation(given: Given, both: Clients) -> None:
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    body = {"decision": "accept", "text_sha256": presentation["text"]["sha256"]}
    path = f"/v1/me/presentations/{presentation['id']}/decision"
    answers = await asyncio.gather(*(both[n % 2].post(path, json=body, headers=person.auth) for n in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["event"] for answer in answers}) == 1


async def test_a_server_finishes_requests_before_it_stops(shared_url: str, tmp_path: Path) -> None:
    """A running request is finished, the listener closes, and the process ends by the signal."""
    running = Running(
        tmp_path,
        **SECRETS,
        LICENTIA_PUBLIC_URL="http://x.test",
        LICENTIA_ENV="production",
        LICENTIA_DATABASE_URL=shared_url,
        LICENTIA_SHUTDOWN_DELAY="0.5",
    )
    with running:
        async with httpx.AsyncClient(base_url=running.base) as client:
            running.process.terminate()
            await asyncio.sleep(0.2)
            ready, alive = await client.get("/readyz"), await client.get("/healthz")
        assert (ready.status_code, ready.json()["faults"], alive.status_code) == (503, ["shutting down"], 200)
        assert running.process.wait(10) in {0, -15, 143}
