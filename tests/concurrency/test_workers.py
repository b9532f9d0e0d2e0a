"""Two real servers over loopback on one database, and one that leaves. Both databases; kills are in tests/faults."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx

from app.world import World
from tests.agreements import making
from tests.concurrency import login_races
from tests.concurrency.seat_races import Clients
from tests.concurrency.workers import two
from tests.given import Given
from tests.random_keys import SECRETS
from tests.servers import Running

ROOM = "16"
"""Hashes at a time, in each of two servers: with thirty-two that wait besides them, all of a race come to the counters at once."""


async def test_two_workers_share_nothing_but_the_database(shared_url: str, second_world: World, tmp_path: Path) -> None:
    """Logins and decisions; licenses have workers of their own (test_license_workers.py)."""
    async with two(tmp_path, shared_url, second_world, LICENTIA_HASH_SLOTS=ROOM) as (given, both):
        for race in (*login_races.RACES, one_presentation):
            await race(given, both)


async def one_presentation(given: Given, both: Clients) -> None:
    found = await making.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    body = {"decision": "accept", "text_sha256": shown["text"]["sha256"]}
    path = f"/v1/me/presentations/{shown['id']}/decision"
    answers = await asyncio.gather(*(both[n % 2].post(path, json=body, headers=person.auth) for n in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["event"] for answer in answers}) == 1


async def test_a_server_leaves_politely(shared_url: str, tmp_path: Path) -> None:
    """A request that runs is finished, the listener closes, and the process ends by the signal."""
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
