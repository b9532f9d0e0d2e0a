"""Deleting rows that are past their time: in batches, each a transaction of its own, and never one that somebody else holds."""

from sqlalchemy import ColumnElement, ColumnExpressionArgument, delete, exists, select, tuple_

from app.db.base import Base, table
from app.db.database import Database, Transaction

BATCH = 500
"""Rows of one transaction at most: some hundredths of a second of SQLite's one writer."""


async def prune(database: Database, model: type[Base], *stale: ColumnExpressionArgument[bool]) -> int:
    """Delete a batch of the rows that fit; how many.

    They are looked for before anything is locked, so that a round without work costs writers nothing. Two that prune at once pass
    by each other's rows. They are held, and asked once more when they go: what somebody began to keep meanwhile stays.
    """
    key = list(table(model).primary_key)
    some = select(*key).where(*stale).limit(BATCH)

    async def ask(tx: Transaction) -> bool:
        return (await tx.execute(some.limit(1))).first() is not None

    if not await database.find(ask):
        return 0
    async with database.write() as tx:
        chosen = (await tx.execute(some.with_for_update(skip_locked=True, of=model))).all()
        if not chosen:
            return 0
        return (await tx.execute(delete(model).where(tuple_(*key).in_([tuple(row) for row in chosen]), *stale))).rowcount


def reference_conditions(model: type[Base]) -> list[ColumnElement[bool]]:
    """For each foreign key to the model's table, of whichever room: whether some row has it."""
    keys = [key for it in Base.metadata.sorted_tables for key in it.foreign_keys if key.column.table is table(model)]
    return [exists().where(key.parent == key.column) for key in keys]
