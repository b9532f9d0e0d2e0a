"""PostgreSQL restarts and freezes under load: clean 503s within a bound, no answer lost, and the service is back by itself."""

import asyncio
import math
from pathlib import Path
from time import perf_counter

import httpx
import pytest
from fastapi import FastAPI

from app.web.probes import metrics
from app.world import World
from tests.concurrency.workers import RealClock, create_root_key, start_server
from tests.faults.bursts import Burst, Scene, Size
from tests.faults.peaks import Probe, load_factor, probe, read_response_times
from tests.given import Given
from tests.operations.figures import figure, figures
from tests.postgres import Server

AGE = "licentia_outbox_age_seconds"
SHORT = {f"LICENTIA_DATABASE_{name}_TIMEOUT": "1" for name in ("CONNECT", "POOL", "STATEMENT")}
LIMITS = httpx.Limits(max_connections=None, keepalive_expiry=2)
"""Shorter than the server keeps a connection: no request meets its end."""
FROZEN = 3.0
BOUND = 5.0
"""Seconds: a second for a connection of the pool, one to connect, two for a statement that is cut; and some for a busy machine."""


async def test_postgresql_restarts_and_freezes_under_load(own_postgres: Server, own: World, tmp_path: Path) -> None:
    with start_server(tmp_path, own_postgres.url("faults"), **SHORT) as running:
        async with httpx.AsyncClient(base_url=running.base, timeout=30, limits=LIMITS) as client:
            given = Given(client, own, RealClock(), await create_root_key(own))
            await restarts(given, own_postgres)
            await freezes(given, own_postgres)
        assert max(read_response_times(running.log)) < BOUND * load_factor()


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_the_figures_do_not_wait_for_a_frozen_database(
    app: FastAPI, client: httpx.AsyncClient, own_postgres: Server, own: World
) -> None:
    """What could not be measured is unknown, not what it was; everything else is reported as usual."""
    app.state.world = own
    assert figure(await figures(client), AGE, outbox="mail") == 0
    own_postgres.freeze()
    try:
        start = perf_counter()
        samples = await figures(client)
        took = perf_counter() - start
    finally:
        own_postgres.thaw()
    assert took < (metrics.DEADLINE + 0.5) * load_factor()
    assert math.isnan(figure(samples, AGE, outbox="mail"))
    assert figure(samples, "licentia_database_connections", state="most") > 0
    await asyncio.sleep(0.1)
    assert figure(await figures(client), AGE, outbox="mail") == 0


async def restarts(given: Given, database: Server) -> None:
    burst = Burst((given.client,), await Scene.made(given, Size()))
    await burst.play(lambda: asyncio.to_thread(database.restart), after=25)
    assert burst.outcomes["503 unavailable"] > 0
    assert burst.outcomes["no answer"] == 0
    await burst.check(given)


async def freezes(given: Given, database: Server) -> None:
    burst = Burst((given.client,), await Scene.made(given, Size()))
    looks: list[Probe] = []

    async def freeze() -> None:
        database.freeze()
        try:
            for _ in range(2):
                seen = asyncio.gather(*(asyncio.to_thread(probe, str(given.client.base_url), path) for path in ("/healthz", "/readyz")))
                await asyncio.sleep(FROZEN / 2)
                looks.extend(await seen)
        finally:
            database.thaw()

    await burst.play(freeze, after=25)
    healthy, ready = looks[::2], looks[1::2]
    assert {each.status for each in healthy} == {200}
    assert max(each.seconds for each in healthy) < 0.5 * load_factor()
    assert {each.status for each in ready} == {503}
    assert max(each.seconds for each in ready) < 2.0
    assert {each.body["faults"][0] for each in ready} == {"the database does not answer (TimeoutError)"}
    assert burst.outcomes["503 busy"] + burst.outcomes["503 unavailable"] + burst.outcomes["503 outcome_unknown"] > 0
    assert burst.outcomes["no answer"] == 0
    await burst.check(given)
    assert (await given.client.get("/readyz")).status_code == 200
