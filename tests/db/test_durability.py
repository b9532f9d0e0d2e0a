"""A committed write is on the disk: SQLite syncs each commit of the service; only test databases may skip it."""

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from app.config.settings import Settings
from app.db.database import Database
from app.world import World
from tests import databases
from tests.random_keys import SECRETS

NORMAL, FULL = 1, 2


async def read_sync_level(engine: AsyncEngine) -> int:
    async with engine.connect() as tx:
        return int((await tx.exec_driver_sql("PRAGMA synchronous")).scalar_one())


async def test_the_writer_of_the_service_syncs_each_commit(tmp_path: Path) -> None:
    world = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": databases.sqlite_url(tmp_path / "real.db")}))
    levels = await read_sync_level(world.db.writer), await read_sync_level(world.db.reader)
    await world.db.close()
    assert levels == (FULL, NORMAL)


async def test_a_database_opened_without_durability_does_not_sync(tmp_path: Path) -> None:
    quick = Database.open(databases.sqlite_url(tmp_path / "quick.db"), lasting=False)
    levels = await read_sync_level(quick.writer)
    await quick.close()
    assert levels == NORMAL
