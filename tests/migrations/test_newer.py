"""A rolling upgrade: how a program behaves on a database that a later release has already migrated."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.cli import maintenance
from app.config.settings import Settings
from app.db import dialect, revision
from app.world import World
from tests import databases
from tests.assertions import wait_until
from tests.conftest import NewPostgres
from tests.migrations import trees
from tests.random_keys import SECRETS

EXPANDS = 'op.create_table("later", sa.Column("id", sa.Integer))\nop.execute("ALTER TABLE customers ADD COLUMN later VARCHAR(10)")'
CONTRACTS = "op.execute(\"INSERT INTO schema_contractions VALUES ('x2')\")"


def settings(url: str) -> Settings:
    return Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": url})


async def readiness(app: FastAPI, url: str) -> httpx.Response:
    """Return the readiness that a load balancer sees of a replica of this release."""
    app.state.world = world = World.of(settings(url))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://licentia.test") as client:
        response = await client.get("/readyz")
    await world.db.close()
    return response


async def test_an_expansion_keeps_older_replicas_ready_and_a_contraction_does_not(
    shared_app: FastAPI, empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`migrate` of an older replica that restarts leaves the database unchanged, or reports that it cannot serve."""
    config, ours = trees.extend(tmp_path, empty, EXPANDS, CONTRACTS), revision.program_revision()
    await trees.up(config, "x1")
    response = await readiness(shared_app, empty)
    assert (response.status_code, response.json()["migration"]) == (200, {"database": "x1", "program": ours})
    assert "x1" in await asyncio.to_thread(maintenance.migrate_database, settings(empty))
    await trees.up(config, "x2")
    response = await readiness(shared_app, empty)
    assert (response.status_code, response.json()["migration"]) == (503, {"database": "x2", "program": ours})
    assert "x2" in response.json()["faults"][0]
    with pytest.raises(SystemExit):
        await asyncio.to_thread(maintenance.migrate_database, settings(empty))
    assert "later version" in capsys.readouterr().err
    assert await trees.rows(empty, "SELECT version_num FROM alembic_version") == [("x2",)]


async def test_a_migration_that_waits_too_long_gives_up_and_changes_nothing(
    new_postgres: NewPostgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise all other transactions would queue behind the waiting migration."""
    monkeypatch.setattr(dialect, "SET_MIGRATION_LOCK_TIMEOUT", "SET LOCAL lock_timeout = '100ms'")
    url, first = await new_postgres.empty(), trees.revisions()[0]
    await databases.migrate(url, first)
    before = await trees.describe(url)
    names = ", ".join(name for (name,) in await trees.rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
    lock = asyncio.create_task(databases.execute(url, f"BEGIN; LOCK TABLE {names} IN ACCESS SHARE MODE; SELECT pg_sleep(30)"))
    await wait_until(lambda: trees.rows(url, "SELECT 1 FROM pg_locks WHERE relation = 'users'::regclass"))
    with pytest.raises(SystemExit):
        await asyncio.to_thread(maintenance.migrate_database, settings(url))
    assert "nothing was changed" in capsys.readouterr().err
    assert await trees.describe(url) == before
    lock.cancel()
    await asyncio.gather(lock, return_exceptions=True)
    assert await asyncio.to_thread(maintenance.migrate_database, settings(url)) == f"migrated to {revision.program_revision()}"
