"""A database that several processes share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.base.settings import Settings
from app.world import World
from tests import databases
from tests.conftest import SECRETS, NewPostgres

RACES = ("login_races", "seat_races", "term_races")
pytest.register_assert_rewrite(*(f"tests.concurrency.{name}" for name in RACES))


@pytest.fixture
async def shared(kind: str, sqlite_template: Path, new_postgres: NewPostgres, tmp_path: Path) -> str:
    """The address of a migrated database that two processes may open."""
    return databases.copied(sqlite_template, tmp_path / "shared.db") if kind == "sqlite" else await new_postgres.migrated()


@pytest.fixture
async def beside(shared: str) -> AsyncIterator[World]:
    """The world of a third process on that database, which serves nobody: for builders, and for looks into the tables."""
    made = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": shared}))
    yield made
    await made.db.close()
