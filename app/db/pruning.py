"""Deletes expired rows in batches; each batch is one transaction and skips rows that another transaction has locked."""

from sqlalchemy import ColumnElement, ColumnExpressionArgument, delete, exists, select, tuple_

from app.db.base import Base, table
from app.db.database import Database

BATCH = 500
"""Rows in one transaction, which blocks SQLite's only writer for some hundredths of a second."""


async def prune(database: Database, model: type[Base], *stale: ColumnExpressionArgument[bool]) -> int:
    """Delete a batch of the rows that match, and return how many.

    A read comes first, so that nothing is locked when there is nothing to delete. Two workers skip each other's rows. DELETE checks the
    condition again, because a row may have become needed before it was locked.
    """
    key = list(table(model).primary_key)
    some = select(*key).where(*stale).limit(BATCH)

    async with database.query() as tx:
        if (await tx.execute(some.limit(1))).first() is None:
            return 0
    async with database.write() as tx:
        rows = (await tx.execute(some.with_for_update(skip_locked=True, of=model))).all()
        if not rows:
            return 0
        return (await tx.execute(delete(model).where(tuple_(*key).in_([tuple(row) for row in rows]), *stale))).rowcount


def reference_conditions(model: type[Base]) -> list[ColumnElement[bool]]:
    """Return a SQL condition for each foreign key to the model's table, in any package: whether a row refers to it."""
    keys = [key for each in Base.metadata.sorted_tables for key in each.foreign_keys if key.column.table is table(model)]
    return [exists().where(key.parent == key.column) for key in keys]
