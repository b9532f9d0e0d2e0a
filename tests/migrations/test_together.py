"""Every replica may migrate when it starts: several `migrate` at once leave one good schema and no error."""

import asyncio
import sys

from app.db import revision
from tests.house.source import ROOT
from tests.migrations import trees
from tests.random_keys import SECRETS

TOGETHER = {"sqlite": 2, "postgresql": 4}


async def migrate(url: str) -> tuple[int | None, str]:
    """The program's own command, in a process of its own: exit code and what it says."""
    environment = {**SECRETS, "LICENTIA_DATABASE_URL": url}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "migrate", cwd=ROOT, env=environment, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    return process.returncode, told.decode()


async def test_several_at_once_on_a_fresh_database(kind: str, empty: str) -> None:
    """All succeed: one does the work, the others wait for it and find it done."""
    told = await asyncio.gather(*(migrate(empty) for _ in range(TOGETHER[kind])))
    assert told == [(0, f"migrated to {revision.program_revision()}\n")] * TOGETHER[kind]
    assert await trees.rows(empty, "SELECT version_num FROM alembic_version") == [(revision.program_revision(),)]
