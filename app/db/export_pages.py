"""Reads all rows of one end user from a table, page by page in key order, so that memory use stays constant."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Uuid, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from app.db.types import AnyRow, AnySelect

PAGE_SIZE = 200
EXPORTED_USER = bindparam("whose", type_=Uuid)
"""The parameter for the end user in the statement of a section."""


@dataclass(frozen=True)
class ExportSection:
    """A part of the export. `statement` selects columns without secrets of the user `EXPORTED_USER`; `key` is one of the columns."""

    name: str
    statement: AnySelect
    key: InstrumentedAttribute[UUID]


async def read_export_page(
    tx: AsyncConnection, section: ExportSection, user_id: UUID, after: UUID | None
) -> tuple[Sequence[AnyRow], UUID | None]:
    """Return the next rows in key order, and the key to continue after; None if these were the last."""
    statement = section.statement if after is None else section.statement.where(section.key > after)
    rows = (await tx.execute(statement.order_by(section.key).limit(PAGE_SIZE), {"whose": user_id})).all()
    return rows, getattr(rows[-1], section.key.key) if len(rows) == PAGE_SIZE else None
