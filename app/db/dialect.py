"""The one file that knows which database it is: how transactions open, how a row is inserted once, what an error means."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Column, ColumnElement, Connection, Table, event, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from app.db.types import AnySelect

SQLITE_WAIT_MS = 10_000
_BUSY_STATES = {"40001", "40P01", "55P03", "57014"}
_DOWN_STATES = {"57P01", "57P02", "57P03", "53300"}
MIGRATION_LOCK = 0x11CE_2711A
MIGRATION_PATIENCE = "SET LOCAL lock_timeout = '5s'"


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def engines(url: str, pool: int) -> tuple[AsyncEngine, AsyncEngine]:
    """(reader, writer). PostgreSQL has one pool for both; SQLite has one writer, in turn, and readers that cannot write."""
    if not is_sqlite(url):
        engine = create_async_engine(url, pool_size=pool, max_overflow=0, pool_timeout=10, hide_parameters=True)
        return engine, engine
    reader = create_async_engine(url, pool_size=pool, max_overflow=0, pool_timeout=30, hide_parameters=True)
    writer = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=30, hide_parameters=True)
    event.listen(reader.sync_engine, "connect", _read_only)
    event.listen(writer.sync_engine, "connect", _prepared)
    return reader, writer


def _prepared(connection: Any, _record: object) -> None:
    # The driver's own transactions open none for a leading SELECT; ours are explicit.
    connection.isolation_level = None
    # SQLite's own lower() knows ASCII alone; a search for Ødegård should find ødegård on both databases.
    connection.create_function("lower", 1, lambda text: text.lower() if isinstance(text, str) else text)
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={SQLITE_WAIT_MS}", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "recursive_triggers=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _read_only(connection: Any, record: object) -> None:
    _prepared(connection, record)
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


async def begin_read(connection: AsyncConnection) -> None:
    """Open a transaction that sees one snapshot and cannot write."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN")
    else:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


async def begin_write(connection: AsyncConnection) -> None:
    """Open a transaction that may write: IMMEDIATE on SQLite (it waits here, never later), READ COMMITTED on PostgreSQL."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN IMMEDIATE")


async def autocommit(connection: AsyncConnection) -> None:
    """Let each statement stand alone; no BEGIN and COMMIT round trips."""
    if connection.dialect.name != "sqlite":
        await connection.execution_options(isolation_level="AUTOCOMMIT")


async def insert_once(connection: AsyncConnection, model: type[DeclarativeBase], values: dict[str, Any], *, unless: Sequence[str]) -> bool:
    """Insert a row unless one with the same `unless` columns is there. True when this call inserted it.

    Under concurrency PostgreSQL waits here for a twin that is still inserting, and answers by what it committed.
    """
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(model).values(values).on_conflict_do_nothing(index_elements=list(unless))
    return (await connection.execute(statement)).rowcount == 1


async def insert_missing(connection: AsyncConnection, model: type[DeclarativeBase], columns: Sequence[str], picked: AnySelect) -> int:
    """Insert a row for each that is picked (there must be a WHERE), unless one with its primary key is there; how many."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(model).from_select(list(columns), picked).on_conflict_do_nothing()
    return (await connection.execute(statement)).rowcount


async def upsert(
    connection: AsyncConnection,
    model: type[DeclarativeBase],
    values: dict[str, Any],
    *,
    on: Sequence[str],
    change: Mapping[str, Any],
    where: ColumnElement[bool],
) -> bool:
    """Insert a row, or change the one with the same `on` columns if it fits `where`. False when it is there and does not fit."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(model).values(values).on_conflict_do_update(index_elements=list(on), set_=dict(change), where=where)
    return (await connection.execute(statement)).rowcount == 1


def without(connection: AsyncConnection, column: Column[Any], name: str) -> ColumnElement[Any]:
    """A JSON object without one of its members."""
    return func.json_remove(column, f"$.{name}") if connection.dialect.name == "sqlite" else column.op("-")(name)


def violated(error: IntegrityError) -> str:
    """The name of the broken constraint on PostgreSQL, or SQLite's `table.column, …` list; empty when it says neither."""
    cause = getattr(error, "driver_exception", None) or error.orig
    name = getattr(cause, "constraint_name", None) or getattr(getattr(cause, "__cause__", None), "constraint_name", None)
    return str(name) if name else str(error.orig).partition("constraint failed: ")[2]


def breaks(error: IntegrityError, table: Table, *columns: str) -> bool:
    """Whether the error is the uniqueness of these columns of this table."""
    told = violated(error)
    return told in {f"uq_{table.name}_{'_'.join(columns)}", ", ".join(f"{table.name}.{column}" for column in columns)}


def is_busy(error: DBAPIError) -> bool:
    """Whether the database refused for now: a lock not had in time, a deadlock, a server going down or not there."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in _BUSY_STATES or state in _DOWN_STATES or state.startswith("08")
    return error.connection_invalidated or "locked" in str(error.orig) or "busy" in str(error.orig)


def begin_migration(connection: Connection) -> None:
    """Open the one transaction of a migration, and let one migrator at a time in for the length of it.

    On SQLite foreign keys are off meanwhile: with them on, the rebuild of a table drops every child row without an error. The
    driver itself begins a transaction only at the first INSERT, so that a failed migration would leave its tables behind.
    """
    if connection.dialect.name == "sqlite":
        cast(Any, connection.connection.dbapi_connection).isolation_level = None
        for statement in (f"PRAGMA busy_timeout={SQLITE_WAIT_MS}", "PRAGMA foreign_keys=OFF", "BEGIN IMMEDIATE"):
            connection.exec_driver_sql(statement)
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        connection.exec_driver_sql(MIGRATION_PATIENCE)
