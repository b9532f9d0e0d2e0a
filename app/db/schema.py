"""Which migration the database is at, and which one this program wants. Refuses to guess: it names both."""

from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.db.database import Database

ROOT = Path(__file__).resolve().parents[2]


def alembic_config(url: str) -> Config:
    config = Config(str(ROOT / "alembic.ini"))
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["url"] = url
    return config


@cache
def wanted() -> str:
    """The newest revision in the migration tree."""
    head = ScriptDirectory(str(ROOT / "migrations")).get_current_head()
    if head is None:
        raise RuntimeError("the migration tree is empty")
    return head


async def present(database: Database) -> str | None:
    """The revision that the database is at; None when it was never migrated."""
    async with database.lookup() as session:
        return await session.run_sync(lambda connection: MigrationContext.configure(connection).get_current_revision())
