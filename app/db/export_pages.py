"""All there is of one end user in a table, however much: read by key, page by page, so that memory stays flat."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Uuid, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from app.db.types import AnyRow, AnySelect

PAGE_SIZE = 200
EXPORTED_USER = bindparam("whose", type_=Uuid)
"""The end user, in the statement of a section."""


@dataclass(frozen=True)
class ExportSection:
    """A part of the export. `statement` reads columns that may be told, never a secret, of the user `WHOSE`; `key` is one of them."""

    name: str
    statement: AnySelect
    key: InstrumentedAttribute[UUID]


async def read_page(tx: AsyncConnection, section: ExportSection, user_id: UUID, after: UUID | None) -> tuple[Sequence[AnyRow], UUID | None]:
    """The next rows by rising key, and the key to go on after; None when these were the last."""
    wanted = section.statement if after is None else section.statement.where(section.key > after)
    rows = (await tx.execute(wanted.order_by(section.key).limit(PAGE_SIZE), {"whose": user_id})).all()
    return rows, getattr(rows[-1], section.key.key) if len(rows) == PAGE_SIZE else None
