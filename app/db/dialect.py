"""The only file that knows which database is used: how transactions begin, upserts, and what an error means."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Column, ColumnElement, Connection, Table, case, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from app.db.types import AnySelect
from app.db.watchdog import Watchdog

SQLITE_WAIT_MS = 10_000
_BUSY_STATES = {"40001", "40P01", "55P03", "57014", "53300"}
_AWAY_STATES = {"57P01", "57P02", "57P03", "53100", "53200", "58030", "25006"}
"""Going down, not up yet, no disk, no memory, cannot read or write, read-only (a standby, say)."""
_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_AWAY_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_DAMAGED_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
BACKSTOP = 5.0
"""Seconds beyond the statement's own limit after which the driver itself gives up, where no watch is kept (a first connection)."""
MIGRATION_LOCK = 0x11CE_2711A
SET_MIGRATION_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait for a connection to PostgreSQL, for a free connection of the pool, and for a statement (0: without limit)."""

    connect: float = 3
    pool: float = 5
    statement: float = 10


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def create_engines(url: str, pool: int, timeouts: Timeouts, *, lasting: bool) -> tuple[AsyncEngine, AsyncEngine]:
    """(reader, writer). PostgreSQL has one pool for both; SQLite has one writer, in turn, and readers that cannot write.

    `lasting`: SQLite has what it commits on the disk before it says so. PostgreSQL does so, or not, by its own configuration.
    """
    if not is_sqlite(url):
        engine = _create_postgresql_engine(url, pool, timeouts)
        return engine, engine
    queue_timeout = 6 * timeouts.pool  # a queue before one writer is no outage
    reader = create_async_engine(url, pool_size=pool, max_overflow=0, pool_timeout=queue_timeout, hide_parameters=True)
    writer = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=queue_timeout, hide_parameters=True)
    event.listen(reader.sync_engine, "connect", _prepare_reader)
    event.listen(writer.sync_engine, "connect", _prepare_durable if lasting else _prepare_connection)
    return reader, writer


def _create_postgresql_engine(url: str, pool: int, timeouts: Timeouts) -> AsyncEngine:
    """The server ends a statement that is too long; one that does not even do that (frozen, cut off) loses the connection."""
    arguments: dict[str, Any] = {"timeout": timeouts.connect}
    if timeouts.statement:
        arguments |= {
            "server_settings": {"statement_timeout": str(round(timeouts.statement * 1000))},
            "command_timeout": timeouts.statement + BACKSTOP,
        }
    engine = create_async_engine(
        url, pool_size=pool, max_overflow=0, pool_timeout=timeouts.pool, hide_parameters=True, connect_args=arguments
    )
    Watchdog.over(engine.sync_engine, timeouts.statement)
    return engine


def _prepare_connection(connection: Any, _record: object) -> None:
    # The driver's own transactions open none for a leading SELECT; ours are explicit.
    connection.isolation_level = None
    # SQLite's own lower() knows ASCII alone; a search for Ødegård should find ødegård on both databases.
    connection.create_function("lower", 1, lambda text: text.lower() if isinstance(text, str) else text)
    wait = f"busy_timeout={SQLITE_WAIT_MS}"
    _set_pragmas(connection, wait, "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "recursive_triggers=ON")


def _prepare_reader(connection: Any, record: object) -> None:
    _prepare_connection(connection, record)
    _set_pragmas(connection, "query_only=ON")


def _prepare_durable(connection: Any, record: object) -> None:
    """With a write-ahead log, NORMAL syncs at checkpoints alone: a power cut takes back what was answered since."""
    _prepare_connection(connection, record)
    _set_pragmas(connection, "synchronous=FULL")


def _set_pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
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


async def lock_by_name(connection: AsyncConnection, name: str) -> None:
    """Wait until no other transaction holds the lock of this name, and hold it until the transaction ends. SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))  # 32 bits: never MIGRATION_LOCK


async def use_autocommit(connection: AsyncConnection) -> None:
    """Let each statement stand alone; no BEGIN and COMMIT round trips."""
    if connection.dialect.name != "sqlite":
        await connection.execution_options(isolation_level="AUTOCOMMIT")


async def insert_once(connection: AsyncConnection, model: type[DeclarativeBase], values: dict[str, Any], *, unless: Sequence[str]) -> bool:
    """Insert a row unless one with the same `unless` columns is there. True when this call inserted it.

    Under concurrency PostgreSQL waits here for another insert of the same row that has not committed yet, and returns by its outcome.
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


def json_without(connection: AsyncConnection, column: Column[Any], name: str) -> ColumnElement[Any]:
    """A JSON object without one of its members."""
    return func.json_remove(column, f"$.{name}") if connection.dialect.name == "sqlite" else column.op("-")(name)


def text_before(connection: AsyncConnection, column: Column[Any], mark: str) -> ColumnElement[str]:
    """The text before the first `mark`; empty where there is none."""
    position = func.instr(column, mark) if connection.dialect.name == "sqlite" else func.strpos(column, mark)
    return func.substr(column, 1, case((position > 0, position - 1), else_=0))


def find_broken_constraint(error: IntegrityError) -> str:
    """The name of the broken constraint on PostgreSQL, or SQLite's `table.column, …` list; empty when it says neither."""
    cause = getattr(error, "driver_exception", None) or error.orig
    name = getattr(cause, "constraint_name", None) or getattr(getattr(cause, "__cause__", None), "constraint_name", None)
    return str(name) if name else str(error.orig).partition("constraint failed: ")[2]


def violates_unique(error: IntegrityError, table: Table, *columns: str) -> bool:
    """Whether the error is the uniqueness of these columns of this table."""
    constraint = find_broken_constraint(error)
    return constraint in {f"uq_{table.name}_{'_'.join(columns)}", ", ".join(f"{table.name}.{column}" for column in columns)}


def is_busy(error: Exception) -> bool:
    """Whether the database refused for now: a lock not had in time, a deadlock, a statement that took too long, no connection left.

    `error`: SQLAlchemy's, or the driver's own.
    """
    state = _read_error_code(error)
    return state in _BUSY_STATES or state in _BUSY_CODES


def is_unavailable(error: DBAPIError) -> bool:
    """Whether it is not there, or cannot store: going down, cut off, frozen, disk full or read-only."""
    state = _read_error_code(error)
    lost = isinstance(state, str) and state.startswith("08")
    return error.connection_invalidated or lost or state in _AWAY_STATES or state in _AWAY_CODES


def is_damaged(error: Exception) -> bool:
    """Whether the file is no database any more, or one that contradicts itself. Only a copy helps."""
    return _read_error_code(error) in _DAMAGED_CODES


def _read_error_code(error: Exception) -> str | int | None:
    """PostgreSQL's SQLSTATE, or SQLite's primary result code."""
    cause: Any = getattr(error, "orig", None) or error
    code: int | None = getattr(getattr(error, "driver_exception", None) or cause, "sqlite_errorcode", None)
    return code & 0xFF if code is not None else getattr(cause, "sqlstate", None)


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
        connection.exec_driver_sql(SET_MIGRATION_LOCK_TIMEOUT)
