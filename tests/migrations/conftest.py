"""Empty databases for the migrations' tests: each test migrates one of its own."""

from pathlib import Path

import pytest

from tests import databases
from tests.conftest import NewPostgres


@pytest.fixture
async def empty(kind: str, tmp_path: Path, new_postgres: NewPostgres) -> str:
    """The address of a database with nothing in it."""
    return databases.sqlite_url(tmp_path / "empty.db") if kind == "sqlite" else await new_postgres.empty()
