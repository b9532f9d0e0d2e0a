"""The commands that look after an installation: its migrations, its keys, a copy of its database."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from alembic import command
from alembic.util.exc import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.base.durations import instant_text
from app.cli.console import exit_with_error, load_settings, print_result, with_world
from app.config.settings import Settings
from app.db import backup, dialect, revision
from app.db.database import Database
from app.db.revision import RevisionStatus
from app.models import METADATA
from app.signing_keys import rotation, sealing_keys
from app.signing_keys.sealing_keys import RewrapProgress
from app.world import World

TOLD = 5000
"""Values sealed anew between two lines of progress."""

signing_app = typer.Typer(no_args_is_help=True, help="Signing and encryption keys.")


def migrate(
    status: Annotated[
        bool, typer.Option("--status", help="Change nothing; tell both revisions, and end with 1 if they do not fit.")
    ] = False,
) -> None:
    """Bring the database to the newest migration. Safe when several start at once."""
    chosen = load_settings()
    if status:
        _tell_status(chosen)
    else:
        print_result(migrate_database(chosen))


def _tell_status(chosen: Settings) -> None:
    found = _standing(chosen)
    print_result({"database": found.database, "program": found.program, "ready": found.fault is None, "fault": found.fault})
    if found.fault is not None:
        raise SystemExit(1)


def _standing(chosen: Settings) -> RevisionStatus:
    if dialect.is_sqlite(chosen.database_url) and not backup.database_file(chosen.database_url).exists():
        return revision.compare_revision(None)  # asking would make it

    async def ask() -> RevisionStatus:
        database = Database.open(chosen.database_url, 1)
        try:
            return await revision.check_revision(database)
        finally:
            await database.close()

    try:
        return asyncio.run(ask())
    except (SQLAlchemyError, OSError) as error:
        exit_with_error(f"the database does not answer: {type(error).__name__}")


def migrate_database(chosen: Settings) -> str:
    """Migrate; what to say of it. A database that a later program migrated stays as it is, if this program can serve over it."""
    if dialect.is_sqlite(chosen.database_url):
        backup.database_file(chosen.database_url).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        command.upgrade(revision.alembic_config(chosen.database_url), "head")
    except CommandError:
        found = _standing(chosen)
        if not found.newer:
            raise
        if found.fault is not None:
            exit_with_error(found.fault)
        return f"left at {found.database}, which is newer than this program's {found.program}"
    except (SQLAlchemyError, OSError) as error:
        if isinstance(error, DBAPIError) and dialect.is_busy(error):
            exit_with_error("the database cannot be migrated: others held what it needs for too long, and nothing was changed; try again")
        exit_with_error(f"the database cannot be migrated: {type(error).__name__}")
    return f"migrated to {revision.program_revision()}"


def backup_database(file: Annotated[Path, typer.Argument(help="Where to; a name that is free.")]) -> None:
    """Copy a SQLite database, also while it is served. Its keys are not in it: keep them too, apart from it."""
    chosen = load_settings()
    if not dialect.is_sqlite(chosen.database_url):
        exit_with_error("PostgreSQL brings its own: pg_dump --format=custom, and pg_restore")
    try:
        print_result(
            {"file": str(file), "octets": backup.copy_database(chosen.database_url, file), "migration": _standing(chosen).database}
        )
    except backup.CopyFailed as wrong:
        exit_with_error(str(wrong))


@signing_app.command("list")
def list_keys() -> None:
    """One line of JSON for each signing key, the newest first; then for each sealing key, with the rows that it has sealed."""

    async def work(world: World) -> list[dict[str, Any]]:
        sealed = await sealing_keys.count_by_key(world, sealing_keys.list_sealed_columns(METADATA))
        ring = list(world.keys.sealer.ring)
        lines = [{name: _told(value) for name, value in row._mapping.items()} for row in await rotation.list_keys(world)]
        kids = [*ring, *sorted(set(sealed) - set(ring))]
        return lines + [{"sealing_key": it, "in_ring": it in ring, "writes": it == ring[0], "rows": sealed.get(it, {})} for it in kids]

    for line in with_world(work):
        print_result(line)


def _told(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else instant_text(value)


@signing_app.command("rotate")
def rotate_keys(
    now: Annotated[bool, typer.Option("--now", help="A key leaked: do not wait until caches know the next one.")] = False,
) -> None:
    """Let the next signing key sign, retire the one that did, and publish another one for the next time."""
    print_result(vars(with_world(lambda world: rotation.rotate(world, at_once=now))))


@signing_app.command("revoke")
def revoke_signing_key(kid: str) -> None:
    """Put a retired signing key that leaked out of use: out of the published set, and no access token of it is taken any more."""
    with_world(lambda world: rotation.revoke(world, kid))


@signing_app.command("rewrap")
def rewrap() -> None:
    """Seal anew, under the first of LICENTIA_ENCRYPTION_KEYS, whatever another key has sealed; then the others can go.

    Also while replicas serve; killed, it goes on where it was. Progress goes to standard error; it ends with 1 if anything remains.
    """
    columns = sealing_keys.list_sealed_columns(METADATA)
    done = with_world(lambda world: sealing_keys.rewrap(world, columns, _progress()))
    for each in done:
        print_result(vars(each))
    for each in done:
        if each.unreadable:
            print(f"{each.name}: {each.unreadable} open with no key of the ring", file=sys.stderr)
        if each.remaining > each.unreadable:
            print(f"{each.name}: {each.remaining - each.unreadable} were held, or written by the old key meanwhile; again", file=sys.stderr)
    if any(each.remaining for each in done):
        raise SystemExit(1)


def _progress() -> Callable[[RewrapProgress], None]:
    told: dict[str, int] = {}

    def tell(done: RewrapProgress) -> None:
        if done.resealed - told.get(done.name, 0) >= TOLD:
            told[done.name] = done.resealed
            print(f"{done.name}: {done.resealed} sealed anew, {done.remaining} to go", file=sys.stderr, flush=True)

    return tell
