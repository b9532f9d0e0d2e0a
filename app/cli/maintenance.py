"""Commands that maintain an installation: migrations, keys, and a copy of the database."""

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

PROGRESS_STEP = 5000
"""A progress line is printed after this many values."""

signing_app = typer.Typer(no_args_is_help=True, help="Signing keys and encryption keys.")


def migrate(
    status: Annotated[
        bool,
        typer.Option(
            "--status", help="Change nothing. Print the revisions of the database and of this program; exit with code 1 if they do not fit."
        ),
    ] = False,
) -> None:
    """Migrate the database to the newest revision. Safe to run in several processes at the same time."""
    chosen = load_settings()
    if status:
        _print_status(chosen)
    else:
        print_result(migrate_database(chosen))


def _print_status(chosen: Settings) -> None:
    status = _read_revision(chosen)
    print_result({"database": status.database, "program": status.program, "ready": status.fault is None, "fault": status.fault})
    if status.fault is not None:
        raise SystemExit(1)


def _read_revision(chosen: Settings) -> RevisionStatus:
    if dialect.is_sqlite(chosen.database_url) and not backup.database_file(chosen.database_url).exists():
        return revision.compare_revision(None)  # connecting would create the file

    async def read() -> RevisionStatus:
        database = Database.open(chosen.database_url, 1)
        try:
            return await revision.check_revision(database)
        finally:
            await database.close()

    try:
        return asyncio.run(read())
    except (SQLAlchemyError, OSError) as error:
        exit_with_error(f"the database does not answer: {type(error).__name__}")


def migrate_database(chosen: Settings) -> str:
    """Migrate the database and return a sentence about the result.

    A database that a later version migrated is left unchanged if this version can use it; otherwise exits with code 1.
    """
    if dialect.is_sqlite(chosen.database_url):
        backup.database_file(chosen.database_url).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        command.upgrade(revision.alembic_config(chosen.database_url), "head")
    except CommandError:
        status = _read_revision(chosen)
        if not status.newer:
            raise
        if status.fault is not None:
            exit_with_error(status.fault)
        return f"unchanged: the database is at {status.database}, newer than this program's {status.program}"
    except (SQLAlchemyError, OSError) as error:
        if isinstance(error, DBAPIError) and dialect.is_busy(error):
            exit_with_error(
                "the database cannot be migrated: other processes locked its tables for too long; nothing was changed, try again"
            )
        exit_with_error(f"the database cannot be migrated: {type(error).__name__}")
    return f"migrated to {revision.program_revision()}"


def backup_database(
    file: Annotated[Path, typer.Argument(help="The file to create, for example backup.db. It must not exist yet.")],
) -> None:
    """Copy the SQLite database to a file, even while it is in use. The copy contains no keys: back them up separately."""
    chosen = load_settings()
    if not dialect.is_sqlite(chosen.database_url):
        exit_with_error("this command is only for SQLite; for PostgreSQL use `pg_dump --format=custom` and `pg_restore`")
    try:
        print_result(
            {"file": str(file), "bytes": backup.copy_database(chosen.database_url, file), "migration": _read_revision(chosen).database}
        )
    except backup.CopyFailed as error:
        exit_with_error(str(error))


@signing_app.command("list")
def list_keys() -> None:
    """Print one line of JSON per signing key, newest first, then one per encryption key with the number of rows it encrypted."""

    async def work(world: World) -> list[dict[str, Any]]:
        sealed = await sealing_keys.count_by_key(world, sealing_keys.list_sealed_columns(METADATA))
        ring = list(world.keys.sealer.ring)
        lines = [{name: _to_text(value) for name, value in row._mapping.items()} for row in await rotation.list_keys(world)]
        kids = [*ring, *sorted(set(sealed) - set(ring))]
        return lines + [{"sealing_key": kid, "in_ring": kid in ring, "writes": kid == ring[0], "rows": sealed.get(kid, {})} for kid in kids]

    for line in with_world(work):
        print_result(line)


def _to_text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else instant_text(value)


@signing_app.command("rotate")
def rotate_keys(
    now: Annotated[bool, typer.Option("--now", help="For a leaked key: rotate at once, before clients have cached the next key.")] = False,
) -> None:
    """Activate the next signing key, retire the active key, and publish a new next key."""
    print_result(vars(with_world(lambda world: rotation.rotate_keys(world, at_once=now))))


@signing_app.command("revoke")
def revoke_signing_key(kid: str) -> None:
    """Revoke a retired signing key that leaked. It is no longer published, and access tokens signed with it are refused."""
    with_world(lambda world: rotation.revoke_key(world, kid))


@signing_app.command("rewrap")
def rewrap() -> None:
    """Encrypt all values again with the first key of LICENTIA_ENCRYPTION_KEYS. The other keys can then be removed.

    Safe while replicas serve; after an interruption, run it again to continue. Prints progress to standard error. Exits with code 1 if
    some values are still encrypted with other keys.
    """
    columns = sealing_keys.list_sealed_columns(METADATA)
    columns_done = with_world(lambda world: sealing_keys.rewrap(world, columns, _make_progress_printer()))
    for each in columns_done:
        print_result(vars(each))
    for each in columns_done:
        if each.unreadable:
            print(f"{each.name}: {each.unreadable} values cannot be decrypted with any configured key", file=sys.stderr)
        if each.remaining > each.unreadable:
            print(
                f"{each.name}: {each.remaining - each.unreadable} values were locked or written with an old key; run this again",
                file=sys.stderr,
            )
    if any(each.remaining for each in columns_done):
        raise SystemExit(1)


def _make_progress_printer() -> Callable[[RewrapProgress], None]:
    printed: dict[str, int] = {}

    def print_progress(done: RewrapProgress) -> None:
        if done.resealed - printed.get(done.name, 0) >= PROGRESS_STEP:
            printed[done.name] = done.resealed
            print(f"{done.name}: {done.resealed} encrypted again, {done.remaining} remaining", file=sys.stderr, flush=True)

    return print_progress
