"""Two real servers over loopback on one database, and a server that is killed. Both databases."""

import asyncio
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from app.world import World
from tests.agreements import making
from tests.concurrency import login_races
from tests.concurrency.seat_races import Clients
from tests.concurrency.workers import RealClock, root_of, server, two
from tests.conftest import SECRETS
from tests.given import Given
from tests.servers import Running

ROOM = "16"
"""Hashes at a time, in each of two servers: with thirty-two that wait beside them, all of a race come to the counters at once."""


async def together(*calls: Any) -> Counter[int]:
    return Counter(answer.status_code for answer in await asyncio.gather(*calls))


async def test_two_workers_share_nothing_but_the_database(shared: str, beside: World, tmp_path: Path) -> None:
    """Logins and decisions; licenses have workers of their own (test_license_workers.py)."""
    async with two(tmp_path, shared, beside, LICENTIA_HASH_SLOTS=ROOM) as (given, both):
        for race in (*login_races.RACES, one_presentation):
            await race(given, both)


async def one_presentation(given: Given, both: Clients) -> None:
    found = await making.in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    body = {"decision": "accept", "text_sha256": shown["text"]["sha256"]}
    path = f"/v1/me/presentations/{shown['id']}/decision"
    answers = await asyncio.gather(*(both[n % 2].post(path, json=body, headers=person.auth) for n in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["event"] for answer in answers}) == 1


async def test_kill_minus_9_in_a_burst_of_activations(shared: str, beside: World, kind: str, tmp_path: Path) -> None:
    limit, takers = 60, 200
    with server(tmp_path, shared) as doomed:
        async with httpx.AsyncClient(base_url=doomed.base, timeout=10) as client:
            given = Given(client, beside, RealClock(), await root_of(beside))
            license_ = await given.seats(limit)
            granted, in_flight = await burst(client, license_, takers, doomed)
    with server(tmp_path, shared) as reborn:
        async with httpx.AsyncClient(base_url=reborn.base, timeout=30) as client:
            given = Given(client, beside, RealClock(), given.root)
            used = given.expect(await client.get(f"/v1/licenses/{license_['id']}", headers=given.root))["seats"]["used"]
            assert len(granted) <= used <= min(limit, len(granted) + in_flight)
            for fingerprint in granted:
                body = {"license_key": license_["key"], "device": {"fingerprint": fingerprint}}
                assert (await client.post("/v1/activations", json=body)).status_code == 200
            more = await together(
                *(client.post("/v1/activations", json={**body, "device": {"fingerprint": f"new-{n}"}}) for n in range(takers))
            )
            assert more == Counter({201: limit - used, 409: takers - limit + used})
    if kind == "sqlite":
        checked = sqlite3.connect(shared.partition(":///")[2])
        assert checked.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        checked.close()


async def burst(client: httpx.AsyncClient, license_: dict[str, Any], takers: int, doomed: Running) -> tuple[list[str], int]:
    """Activate from many devices, kill the server in the middle; (devices that got their 201, how many got no answer)."""
    granted: list[str] = []
    lost = 0

    async def take(fingerprint: str) -> None:
        nonlocal lost
        try:
            answer = await client.post("/v1/activations", json={"license_key": license_["key"], "device": {"fingerprint": fingerprint}})
        except httpx.HTTPError:
            lost += 1
            return
        if answer.status_code == 201:
            granted.append(fingerprint)
        if len(granted) == 15:
            doomed.kill()

    await asyncio.gather(*(take(f"device-{n}") for n in range(takers)))
    assert len(granted) >= 15
    assert lost > 0
    return granted, lost


async def test_a_server_leaves_politely(shared: str, tmp_path: Path) -> None:
    """A request that runs is finished, the listener closes, and the process ends by the signal."""
    running = Running(
        tmp_path,
        **SECRETS,
        LICENTIA_PUBLIC_URL="http://x.test",
        LICENTIA_ENV="production",
        LICENTIA_DATABASE_URL=shared,
        LICENTIA_SHUTDOWN_DELAY="0.5",
    )
    with running:
        async with httpx.AsyncClient(base_url=running.base) as client:
            running.process.terminate()
            await asyncio.sleep(0.2)
            ready, alive = await client.get("/readyz"), await client.get("/healthz")
        assert (ready.status_code, ready.json()["faults"], alive.status_code) == (503, ["shutting down"], 200)
        assert running.process.wait(10) in {0, -15, 143}
