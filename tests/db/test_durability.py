"""What was answered is on the disk: SQLite's writer waits for it, whatever the tests' own databases do to be quick."""

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from app.config.settings import Settings
from app.db.database import Database
from app.world import World
from tests import databases
from tests.random_keys import SECRETS

NORMAL, FULL = 1, 2


async def synchronous(engine: AsyncEngine) -> int:
    async with engine.connect() as tx:
        return int((await tx.exec_driver_sql("PRAGMA synchronous")).scalar_one())


async def test_the_writer_of_a_service_waits_for_the_disk(tmp_path: Path) -> None:
    world = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": databases.sqlite_url(tmp_path / "real.db")}))
    levels = await synchronous(world.db.writer), await synchronous(world.db.reader)
    await world.db.close()
    assert levels == (FULL, NORMAL)


async def test_only_who_asks_for_it_may_lose_a_commit(tmp_path: Path) -> None:
    quick = Database.open(databases.sqlite_url(tmp_path / "quick.db"), durable=False)
    levels = await synchronous(quick.writer)
    await quick.close()
    assert levels == NORMAL
