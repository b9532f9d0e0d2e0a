"""Every replica may migrate when it starts: several `migrate` at once leave a correct schema and no error."""

import asyncio
import sys

from app.db import revision
from tests.house.source import ROOT
from tests.migrations import trees
from tests.random_keys import SECRETS

PROCESSES = {"sqlite": 2, "postgresql": 4}


async def migrate(url: str) -> tuple[int | None, str]:
    """Run our command in its own process; returns exit code and output."""
    environment = {**SECRETS, "LICENTIA_DATABASE_URL": url}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "migrate", cwd=ROOT, env=environment, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_several_processes_migrate_a_new_database_at_once(kind: str, empty: str) -> None:
    """All succeed: one migrates, the others wait and find it done."""
    results = await asyncio.gather(*(migrate(empty) for _ in range(PROCESSES[kind])))
    assert results == [(0, f"migrated to {revision.program_revision()}\n")] * PROCESSES[kind]
    assert await trees.rows(empty, "SELECT version_num FROM alembic_version") == [(revision.program_revision(),)]
