"""Alembic's entry: one tree for both databases. Called by `python -m app migrate`, by the tests, and by `alembic` itself."""

import asyncio
from typing import Literal

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

import app.models
from app.config.settings import Settings
from app.db import dialect
from app.db.types import Json, LimitType, UtcDateTime

METADATA = app.models.METADATA


def plain_type(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write our column types into a new migration by their names."""
    if kind == "type" and isinstance(item, UtcDateTime | LimitType):
        return f"types.{type(item).__name__}()"
    if kind == "type" and item is Json:
        return "types.Json"
    return False


def run(connection: Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    dialect.begin_migration(connection)
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_as_batch=True,
        compare_type=True,
        render_item=plain_type,
    )
    with context.begin_transaction():
        context.run_migrations()
        if sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
            raise RuntimeError("the migration would leave rows without their parents; nothing was changed")


async def online() -> None:
    url = context.config.attributes.get("url") or Settings.load().database_url
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await engine.dispose()


def offline() -> None:
    """`alembic upgrade --sql`: PostgreSQL's statements as text, for the linter and for careful operators."""
    context.configure(dialect_name="postgresql", target_metadata=METADATA, literal_binds=True)
    with context.begin_transaction():
        context.execute(dialect.SET_MIGRATION_LOCK_TIMEOUT)
        context.run_migrations()


if context.is_offline_mode():
    offline()
else:
    asyncio.run(online())
