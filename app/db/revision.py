"""Compares the migration of the database with the migration that this program needs.

Most migrations only add, so the previous program keeps working. A migration that removes something the previous program uses records
itself in `schema_contractions`; a program that does not know it reports that it is not ready.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, String, select
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.database import Database

ROOT = Path(__file__).resolve().parents[2]


class Contraction(Base):
    """A migration that removed something the previous program uses. Only that migration inserts the row."""

    __tablename__ = "schema_contractions"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)


@dataclass(frozen=True)
class RevisionStatus:
    """The revisions of the database and of the program. `database`: None if it was never migrated. `program`: the revision it needs.

    `newer`: a later program has migrated the database. `fault`: why this program cannot use the database; None if it can.
    """

    database: str | None
    program: str
    newer: bool
    fault: str | None


def alembic_config(url: str) -> Config:
    config = Config(str(ROOT / "alembic.ini"))
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["url"] = url
    return config


@cache
def program_revision() -> str:
    """Return the newest revision in the migration tree."""
    head = ScriptDirectory(str(ROOT / "migrations")).get_current_head()
    if head is None:
        raise RuntimeError("the migration tree is empty")
    return head


@cache
def list_revisions() -> frozenset[str]:
    """Return every revision in the migration tree."""
    return frozenset(script.revision for script in ScriptDirectory(str(ROOT / "migrations")).walk_revisions())


def compare_revision(present: str | None) -> RevisionStatus:
    """Return the status of a database that is at a migration of this program, or was never migrated (None)."""
    behind = f"the database is at migration {present or 'none'}, this program needs {program_revision()}; run `python -m app migrate`"
    return RevisionStatus(present, program_revision(), newer=False, fault=behind if present != program_revision() else None)


async def check_revision(database: Database) -> RevisionStatus:
    """Return the status that says whether this program can use the database in its current state."""
    async with database.query() as tx:
        present = await tx.run_sync(_read_revision)
        if present is None or present in list_revisions():
            return compare_revision(present)
        contracted = set(await tx.scalars(select(Contraction.revision)))
        return RevisionStatus(present, program_revision(), newer=True, fault=_describe_contractions(present, contracted - list_revisions()))


def _read_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _describe_contractions(present: str, contracted: set[str]) -> str | None:
    if not contracted:
        return None
    return (
        f"the database is at migration {present}, and {', '.join(sorted(contracted))} removed something that this program "
        f"({program_revision()}) uses; start a later version"
    )
