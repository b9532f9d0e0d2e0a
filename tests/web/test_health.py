"""Alive, ready, and saying in words why not."""

from pathlib import Path

import httpx
from fastapi import FastAPI

from app.config.settings import Settings
from app.db import revision
from app.world import World
from tests.random_keys import SECRETS


async def test_ready_when_migrated(client: httpx.AsyncClient) -> None:
    migration = {"database": revision.program_revision(), "program": revision.program_revision()}
    assert (await client.get("/readyz")).json() == {"status": "ready", "faults": [], "migration": migration}


async def test_not_ready_says_which_migration_is_missing(app: FastAPI, client: httpx.AsyncClient, tmp_path: Path) -> None:
    settings = Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/empty.db"})
    app.state.world = empty = World.of(settings)
    answer = await client.get("/readyz")
    await empty.db.close()
    assert answer.status_code == 503
    needs = f"this program needs {revision.program_revision()}; run `python -m app migrate`"
    assert answer.json()["faults"] == [f"the database is at migration none, {needs}"]


async def test_an_unreachable_database_is_not_ready_and_its_calls_are_503(app: FastAPI, client: httpx.AsyncClient, tmp_path: Path) -> None:
    url = f"postgresql+asyncpg://nobody@/nothing?host={tmp_path}"
    app.state.world = away = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": url}))
    ready, call = await client.get("/readyz"), await client.get("/.well-known/jwks.json")
    await away.db.close()
    assert ready.status_code == 503
    assert ready.json()["faults"][0].startswith("the database does not answer")
    assert (call.status_code, call.json()["code"], call.headers["retry-after"]) == (503, "unavailable", "5")
    assert (await client.get("/healthz")).status_code == 200


async def test_metrics_are_labelled_by_template(given: object, client: httpx.AsyncClient) -> None:
    await client.get("/problems/busy")
    await client.get("/secret-path-4711")
    body = (await client.get("/metrics")).text
    assert 'licentia_requests_total{method="GET",route="/problems/{code}",status="200"}' in body
    assert "secret-path" not in body


async def test_key_set_is_public_and_cacheable_and_holds_no_private_half(client: httpx.AsyncClient) -> None:
    answer = await client.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    (key,) = answer.json()["keys"]
    assert key["alg"] == "EdDSA"
    assert "d" not in key
