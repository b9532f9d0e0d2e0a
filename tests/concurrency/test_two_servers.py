"""Concurrent calls spread over two real servers on one database, on both databases: licenses, logins and decisions."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import update

from app.base.clock import Clock
from app.licenses.models import Activation
from app.world import World
from tests.agreements import making
from tests.concurrency import license_races, login_races, seat_races, term_races
from tests.concurrency.license_races import Race
from tests.concurrency.seat_races import Body, Clients
from tests.concurrency.workers import run_two_servers
from tests.given import Given

RACES: tuple[Race, ...] = (*license_races.RACES, term_races.smaller_policy, term_races.suspended, term_races.rotated)
HASH_SLOTS = "16"
"""Concurrent hashes per server; with the thirty-two that wait, all calls of a race reach the counters at once."""
LEASE, LAPSES = "PT10M", 6


async def test_r34_limits_hold_across_two_servers(shared_url: str, second_world: World, tmp_path: Path) -> None:
    """One pair of servers runs all races, because starting them is slow."""
    async with run_two_servers(tmp_path, shared_url, second_world, LICENTIA_HASH_SLOTS=HASH_SLOTS) as (given, both):
        for race in (*RACES, lapses, *login_races.RACES, one_presentation):
            await race(given, both)


async def lapses(given: Given, clients: Clients) -> None:
    """An expiring seat is either renewed or taken over (licensing R23)."""

    async def near(activation: Body) -> datetime:
        """Shorten the lease in the database: waiting for its end would need leases that are too short for a busy machine."""
        ends = Clock().now() + timedelta(milliseconds=8)
        async with given.world.db.write() as tx:
            await tx.execute(update(Activation).where(Activation.id == UUID(activation["id"])).values(lease_expires_at=ends))
        return ends

    for _ in range(LAPSES):
        await seat_races.lapse(given, clients, LEASE, near)


async def one_presentation(given: Given, both: Clients) -> None:
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    body = {"decision": "accept", "text_sha256": presentation["text"]["sha256"]}
    path = f"/v1/me/presentations/{presentation['id']}/decision"
    responses = await asyncio.gather(*(both[n % 2].post(path, json=body, headers=person.auth) for n in range(50)))
    assert Counter(response.status_code for response in responses) == {201: 1, 200: 49}
    assert len({response.json()["event"] for response in responses}) == 1
