"""PostgreSQL restarts and freezes under load: requests get 503 in time, no confirmed write is lost, and the service recovers."""

import asyncio
import math
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.world import World
from tests.assertions import DEADLINE, problem, wait_until
from tests.concurrency.workers import RealClock, create_root_key, start_server
from tests.faults.bursts import Burst, Scene, Size
from tests.faults.peaks import Probe, probe, read_response_times
from tests.given import Given
from tests.operations.figures import get_sample, read_metrics
from tests.postgres import Server

AGE = "licentia_outbox_age_seconds"
SHORT = {f"LICENTIA_DATABASE_{name}_TIMEOUT": "2" for name in ("CONNECT", "POOL", "STATEMENT")}
LIMITS = httpx.Limits(max_connections=None, keepalive_expiry=2)
"""Shorter than the keep-alive time of the server: no request is sent over a connection that the server is closing."""
FROZEN = 5.0
BOUND = 30.0
"""Seconds that a response may take: a connection of the pool two, to connect two, a cancelled statement four.

The rest is for a busy machine."""


@pytest.mark.slow
async def test_postgresql_restarts_and_freezes_under_load(own_postgres: Server, own: World, tmp_path: Path) -> None:
    with start_server(tmp_path, own_postgres.url("faults"), **SHORT) as running:
        async with httpx.AsyncClient(base_url=running.base, timeout=DEADLINE, limits=LIMITS) as client:
            given = Given(client, own, RealClock(), await create_root_key(own))
            await restarts(given, own_postgres)
            await freezes(given, own_postgres)
        assert max(read_response_times(running.log)) < BOUND


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_the_metrics_do_not_wait_for_a_frozen_database(
    app: FastAPI, client: httpx.AsyncClient, own_postgres: Server, own: World
) -> None:
    """A value that cannot be measured is NaN, not the previous one; everything else is reported as usual."""
    app.state.world = own
    assert get_sample(await read_metrics(client), AGE, outbox="mail") == 0
    own_postgres.freeze()
    try:
        samples = await asyncio.wait_for(read_metrics(client), DEADLINE)
    finally:
        own_postgres.thaw()
    assert math.isnan(get_sample(samples, AGE, outbox="mail"))
    assert get_sample(samples, "licentia_database_connections", state="most") > 0

    async def is_measured() -> bool:
        return get_sample(await read_metrics(client), AGE, outbox="mail") == 0

    await wait_until(is_measured)


async def restarts(given: Given, database: Server) -> None:
    burst = Burst((given.client,), await Scene.create(given, Size()))

    async def restart() -> None:
        """While the server is away, a read is refused at once."""
        await asyncio.to_thread(database.shut_down)
        problem(await given.client.get("/v1/licenses", headers=given.root), 503, "unavailable")
        await asyncio.to_thread(database.start_again)

    await burst.play(restart, after=25)
    assert burst.outcomes["503 unavailable"] + burst.outcomes["503 outcome_unknown"] > 0
    assert burst.outcomes["no response"] == 0
    await burst.check(given)


async def freezes(given: Given, database: Server) -> None:
    burst = Burst((given.client,), await Scene.create(given, Size()))
    probes: list[Probe] = []

    async def freeze() -> None:
        """The database is frozen until the probes are answered: they cannot have waited for it."""
        database.freeze()
        try:
            for _ in range(2):
                paths = ("/healthz", "/readyz")
                responses = asyncio.gather(*(asyncio.to_thread(probe, str(given.client.base_url), path) for path in paths))
                await asyncio.sleep(FROZEN / 2)
                probes.extend(await responses)
        finally:
            database.thaw()

    await burst.play(freeze, after=25)
    healthy, ready = probes[::2], probes[1::2]
    assert {each.status for each in healthy} == {200}
    assert {each.status for each in ready} == {503}
    assert {each.body["faults"][0] for each in ready} == {"the database does not answer (TimeoutError)"}
    assert burst.outcomes["503 busy"] + burst.outcomes["503 unavailable"] + burst.outcomes["503 outcome_unknown"] > 0
    assert burst.outcomes["no response"] == 0
    await burst.check(given)
    assert (await given.client.get("/readyz")).status_code == 200
