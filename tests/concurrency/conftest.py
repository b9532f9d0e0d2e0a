"""A database that several processes share."""

from pathlib import Path

import pytest

from tests import databases
from tests.conftest import NewPostgres

pytest.register_assert_rewrite("tests.concurrency.seat_races", "tests.concurrency.term_races")


@pytest.fixture
async def shared(kind: str, sqlite_template: Path, new_postgres: NewPostgres, tmp_path: Path) -> str:
    """The address of a migrated database that two processes may open."""
    return databases.copied(sqlite_template, tmp_path / "shared.db") if kind == "sqlite" else await new_postgres.migrated()
