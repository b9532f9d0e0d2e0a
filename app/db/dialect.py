"""Hides the differences of SQLite and PostgreSQL: engines, transactions, upserts, locks, and the meaning of errors.

No other file asks which database is used.
"""

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
"""SQLSTATEs of a server that cannot serve: shutting down, starting, no disk space, no memory, I/O error, read-only (a standby)."""
_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_AWAY_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_DAMAGED_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
BACKSTOP = 5.0
"""Seconds added to the statement timeout for the timeout of the driver, which also covers connections without a watchdog yet."""
MIGRATION_LOCK = 0x11CE_2711A
SET_MIGRATION_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait: to connect to PostgreSQL, for a free connection of the pool, and for a statement (0: no limit)."""

    connect: float = 3
    pool: float = 5
    statement: float = 10


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def create_engines(url: str, pool: int, timeouts: Timeouts, *, durable: bool) -> tuple[AsyncEngine, AsyncEngine]:
    """Return (reader, writer). PostgreSQL has one pool for both; SQLite has one writing connection, and a pool that cannot write.

    `durable`: SQLite syncs each commit to the disk. For PostgreSQL this depends on the configuration of the server.
    """
    if not is_sqlite(url):
        engine = _create_postgresql_engine(url, pool, timeouts)
        return engine, engine
    queue_timeout = 6 * timeouts.pool  # longer, because all writes wait for the only writer
    reader = create_async_engine(url, pool_size=pool, max_overflow=0, pool_timeout=queue_timeout, hide_parameters=True)
    writer = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=queue_timeout, hide_parameters=True)
    event.listen(reader.sync_engine, "connect", _prepare_reader)
    event.listen(writer.sync_engine, "connect", _prepare_durable if durable else _prepare_connection)
    return reader, writer


def _create_postgresql_engine(url: str, pool: int, timeouts: Timeouts) -> AsyncEngine:
    """Create the engine. The server cancels slow statements; the watchdog closes the connection if the server does not answer at all."""
    arguments: dict[str, Any] = {"timeout": timeouts.connect}
    if timeouts.statement:
        arguments |= {
            "server_settings": {"statement_timeout": str(round(timeouts.statement * 1000))},
            "command_timeout": timeouts.statement + BACKSTOP,
        }
    engine = create_async_engine(
        url, pool_size=pool, max_overflow=0, pool_timeout=timeouts.pool, hide_parameters=True, connect_args=arguments
    )
    Watchdog.watch_engine(engine.sync_engine, timeouts.statement)
    return engine


def _prepare_connection(connection: Any, _record: object) -> None:
    # The driver would begin no transaction for a SELECT, so it begins none at all; `begin_read` and `begin_write` do.
    connection.isolation_level = None
    # SQLite's lower() changes only ASCII letters; a search for Ødegård must find ødegård on both databases.
    connection.create_function("lower", 1, lambda text: text.lower() if isinstance(text, str) else text)
    wait = f"busy_timeout={SQLITE_WAIT_MS}"
    _set_pragmas(connection, wait, "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "recursive_triggers=ON")


def _prepare_reader(connection: Any, record: object) -> None:
    _prepare_connection(connection, record)
    _set_pragmas(connection, "query_only=ON")


def _prepare_durable(connection: Any, record: object) -> None:
    """Sync at each commit. With a write-ahead log, NORMAL only syncs at checkpoints, and a power cut loses the commits since then."""
    _prepare_connection(connection, record)
    _set_pragmas(connection, "synchronous=FULL")


def _set_pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def begin_read(connection: AsyncConnection) -> None:
    """Begin a transaction that sees one snapshot and cannot write."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN")
    else:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


async def begin_write(connection: AsyncConnection) -> None:
    """Begin a transaction that may write: IMMEDIATE on SQLite (it waits for the writer here), READ COMMITTED on PostgreSQL."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN IMMEDIATE")


async def lock_by_name(connection: AsyncConnection, name: str) -> None:
    """Wait for the lock with this name, and hold it until the transaction ends. SQLite needs none, because it has one writer."""
    if connection.dialect.name != "sqlite":
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))  # 32 bits, so never equal to MIGRATION_LOCK


async def use_autocommit(connection: AsyncConnection) -> None:
    """Make each statement its own transaction, which saves the round trips of BEGIN and COMMIT."""
    if connection.dialect.name != "sqlite":
        await connection.execution_options(isolation_level="AUTOCOMMIT")


async def insert_once(connection: AsyncConnection, model: type[DeclarativeBase], values: dict[str, Any], *, unless: Sequence[str]) -> bool:
    """Insert a row unless a row with the same `unless` columns exists; return whether it was inserted.

    PostgreSQL waits while another transaction that inserted the same row has not ended, and inserts only if that one rolls back.
    """
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(model).values(values).on_conflict_do_nothing(index_elements=list(unless))
    return (await connection.execute(statement)).rowcount == 1


async def insert_missing(connection: AsyncConnection, model: type[DeclarativeBase], columns: Sequence[str], rows: AnySelect) -> int:
    """Insert the selected rows whose primary key does not exist yet; return how many. The SELECT must have a WHERE (SQLite's grammar)."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(model).from_select(list(columns), rows).on_conflict_do_nothing()
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
    """Insert a row, or change the existing row with the same `on` columns if it matches `where`; return whether a row was written."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(model).values(values).on_conflict_do_update(index_elements=list(on), set_=dict(change), where=where)
    return (await connection.execute(statement)).rowcount == 1


def json_without(connection: AsyncConnection, column: Column[Any], name: str) -> ColumnElement[Any]:
    """Return the SQL expression of a JSON object without one of its members."""
    return func.json_remove(column, f"$.{name}") if connection.dialect.name == "sqlite" else column.op("-")(name)


def text_before(connection: AsyncConnection, column: Column[Any], mark: str) -> ColumnElement[str]:
    """Return the SQL expression of the text before the first `mark`; empty if there is no mark."""
    position = func.instr(column, mark) if connection.dialect.name == "sqlite" else func.strpos(column, mark)
    return func.substr(column, 1, case((position > 0, position - 1), else_=0))


def find_broken_constraint(error: IntegrityError) -> str:
    """Return the violated constraint: its name on PostgreSQL, `table.column, …` on SQLite, or an empty string if unknown."""
    cause = getattr(error, "driver_exception", None) or error.orig
    name = getattr(cause, "constraint_name", None) or getattr(getattr(cause, "__cause__", None), "constraint_name", None)
    return str(name) if name else str(error.orig).partition("constraint failed: ")[2]


def violates_unique(error: IntegrityError, table: Table, *columns: str) -> bool:
    """Return whether the error is a duplicate in the unique columns `columns` of the table."""
    constraint = find_broken_constraint(error)
    return constraint in {f"uq_{table.name}_{'_'.join(columns)}", ", ".join(f"{table.name}.{column}" for column in columns)}


def is_busy(error: Exception) -> bool:
    """Return whether a retry may succeed: lock timeout, deadlock, statement timeout, or no free connection.

    `error` comes from SQLAlchemy or from the driver.
    """
    state = _read_error_code(error)
    return state in _BUSY_STATES or state in _BUSY_CODES


def is_unavailable(error: DBAPIError) -> bool:
    """Return whether the database cannot be reached or cannot store data: shutting down, disconnected, frozen, disk full, read-only."""
    state = _read_error_code(error)
    lost = isinstance(state, str) and state.startswith("08")
    return error.connection_invalidated or lost or state in _AWAY_STATES or state in _AWAY_CODES


def is_damaged(error: Exception) -> bool:
    """Return whether the SQLite file is damaged or is not a database. Only a backup helps."""
    return _read_error_code(error) in _DAMAGED_CODES


def _read_error_code(error: Exception) -> str | int | None:
    """Return PostgreSQL's SQLSTATE, or SQLite's primary result code."""
    cause: Any = getattr(error, "orig", None) or error
    code: int | None = getattr(getattr(error, "driver_exception", None) or cause, "sqlite_errorcode", None)
    return code & 0xFF if code is not None else getattr(cause, "sqlstate", None)


def begin_migration(connection: Connection) -> None:
    """Begin the only transaction of a migration, under a lock that admits one migration at a time.

    On SQLite foreign keys are off until it ends: otherwise rebuilding a table would delete its child rows without an error. The
    transaction begins explicitly, because the driver begins one only at the first INSERT: a failed migration would leave its tables.
    """
    if connection.dialect.name == "sqlite":
        cast(Any, connection.connection.dbapi_connection).isolation_level = None
        for statement in (f"PRAGMA busy_timeout={SQLITE_WAIT_MS}", "PRAGMA foreign_keys=OFF", "BEGIN IMMEDIATE"):
            connection.exec_driver_sql(statement)
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        connection.exec_driver_sql(SET_MIGRATION_LOCK_TIMEOUT)
