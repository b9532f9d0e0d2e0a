"""Empty databases for the tests of migrations: each test migrates its own."""

from pathlib import Path

import pytest

from tests import databases
from tests.conftest import NewPostgres


@pytest.fixture
async def empty(kind: str, tmp_path: Path, new_postgres: NewPostgres) -> str:
    """Return the URL of an empty database."""
    return databases.sqlite_url(tmp_path / "empty.db") if kind == "sqlite" else await new_postgres.empty()
