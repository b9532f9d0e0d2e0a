"""Fixtures: a separate PostgreSQL server, which tests may stop and freeze while that of the suite runs."""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.config.settings import Settings
from app.world import World
from tests import databases, postgres
from tests.random_keys import SECRETS

pytest.register_assert_rewrite("tests.faults.bursts", "tests.concurrency.seat_races")


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[postgres.Server]:
    """A server whose commits are durable."""
    server = postgres.start(synchronous_commit="on")
    yield server
    server.stop()


@pytest.fixture
async def own(own_postgres: postgres.Server) -> AsyncIterator[World]:
    """A world on a new database of that server. It serves no requests."""
    url = own_postgres.url("postgres")
    await databases.execute(url, "DROP DATABASE IF EXISTS faults WITH (FORCE)")
    await databases.execute(url, "CREATE DATABASE faults")
    await databases.migrate(own_postgres.url("faults"))
    world = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": own_postgres.url("faults")}))
    yield world
    await world.db.close()
