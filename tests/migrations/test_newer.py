"""A rolling upgrade: what a program does over a database that a later one has migrated already."""

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
    """As a load balancer asks a replica of this release."""
    app.state.world = world = World.of(settings(url))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://licentia.test") as client:
        answer = await client.get("/readyz")
    await world.db.close()
    return answer


async def test_an_expansion_leaves_the_replicas_of_before_ready_and_a_contraction_does_not(
    shared_app: FastAPI, empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And `migrate` of a replica that is started anew in between leaves the database alone, or says that it cannot serve."""
    config, ours = trees.scratch(tmp_path, empty, EXPANDS, CONTRACTS), revision.program_revision()
    await trees.up(config, "x1")
    answer = await readiness(shared_app, empty)
    assert (answer.status_code, answer.json()["migration"]) == (200, {"database": "x1", "program": ours})
    assert "x1" in await asyncio.to_thread(maintenance.migrate_database, settings(empty))
    await trees.up(config, "x2")
    answer = await readiness(shared_app, empty)
    assert (answer.status_code, answer.json()["migration"]) == (503, {"database": "x2", "program": ours})
    assert "x2" in answer.json()["faults"][0]
    with pytest.raises(SystemExit):
        await asyncio.to_thread(maintenance.migrate_database, settings(empty))
    assert "later program" in capsys.readouterr().err
    assert await trees.rows(empty, "SELECT version_num FROM alembic_version") == [("x2",)]


async def test_a_migration_that_waits_too_long_gives_up_and_changes_nothing(
    new_postgres: NewPostgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Behind one long transaction a queue of everybody else would form."""
    monkeypatch.setattr(dialect, "SET_MIGRATION_LOCK_TIMEOUT", "SET LOCAL lock_timeout = '100ms'")
    url, first = await new_postgres.empty(), trees.revisions()[0]
    await databases.migrate(url, first)
    before = await trees.described(url)
    names = ", ".join(name for (name,) in await trees.rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
    held = asyncio.create_task(databases.execute(url, f"BEGIN; LOCK TABLE {names} IN ACCESS SHARE MODE; SELECT pg_sleep(30)"))
    await wait_until(lambda: trees.rows(url, "SELECT 1 FROM pg_locks WHERE relation = 'users'::regclass"))
    with pytest.raises(SystemExit):
        await asyncio.to_thread(maintenance.migrate_database, settings(url))
    assert "nothing was changed" in capsys.readouterr().err
    assert await trees.described(url) == before
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)
    assert await asyncio.to_thread(maintenance.migrate_database, settings(url)) == f"migrated to {revision.program_revision()}"
