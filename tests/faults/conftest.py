"""A PostgreSQL of the faults' own, which they may stop and freeze; the suite's goes on meanwhile."""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.config.settings import Settings
from app.world import World
from tests import databases, postgres
from tests.random_keys import SECRETS

pytest.register_assert_rewrite("tests.faults.bursts", "tests.concurrency.seat_races")


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[postgres.Server]:
    """What it has committed outlives its own end."""
    server = postgres.start(synchronous_commit="on")
    yield server
    server.stop()


@pytest.fixture
async def own(own_postgres: postgres.Server) -> AsyncIterator[World]:
    """The world of a process that serves nobody, on a fresh database of that server."""
    url = own_postgres.url("postgres")
    await databases.execute(url, "DROP DATABASE IF EXISTS faults WITH (FORCE)")
    await databases.execute(url, "CREATE DATABASE faults")
    await databases.migrate(own_postgres.url("faults"))
    world_ = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": own_postgres.url("faults")}))
    yield world_
    await world_.db.close()
