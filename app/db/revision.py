"""Which migration the database is at, which one this program wants, and whether the two fit. Refuses to guess: it names both.

A migration expands: it adds, and programs of before go on over it. One that takes away what they use is a contraction and says so
in `schema_contractions`, in its own transaction; a program that does not know it is not ready any more.
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
from app.db.database import Database, Transaction

ROOT = Path(__file__).resolve().parents[2]


class Contraction(Base):
    """A migration that took away what programs of before it use. Inserted by that migration and by nobody else."""

    __tablename__ = "schema_contractions"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)


@dataclass(frozen=True)
class RevisionStatus:
    """The revision that the database is at (None: never migrated) and the one that the program wants; `fault` says why they do not
    fit. `newer`: the database has been migrated by a later program."""

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
    """The newest revision in the migration tree."""
    head = ScriptDirectory(str(ROOT / "migrations")).get_current_head()
    if head is None:
        raise RuntimeError("the migration tree is empty")
    return head


@cache
def known_revisions() -> frozenset[str]:
    """Every revision in the migration tree."""
    return frozenset(script.revision for script in ScriptDirectory(str(ROOT / "migrations")).walk_revisions())


def compare_revision(present: str | None) -> RevisionStatus:
    """How a database stands that is at a revision of this program's own tree, or was never migrated."""
    behind = f"the database is at migration {present or 'none'}, this program wants {program_revision()}"
    return RevisionStatus(present, program_revision(), newer=False, fault=behind if present != program_revision() else None)


async def check_revision(database: Database) -> RevisionStatus:
    """Whether this program can serve over the database as it is now."""

    async def ask(tx: Transaction) -> RevisionStatus:
        present = await tx.run_sync(_present)
        if present is None or present in known_revisions():
            return compare_revision(present)
        contracted = set(await tx.scalars(select(Contraction.revision)))
        return RevisionStatus(present, program_revision(), newer=True, fault=_beyond(present, contracted - known_revisions()))

    return await database.find(ask)


def _present(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _beyond(present: str, contracted: set[str]) -> str | None:
    if not contracted:
        return None
    return (
        f"the database is at migration {present}, and {', '.join(sorted(contracted))} took away what this program, of {program_revision()}, "
        "uses: it wants a later program"
    )
