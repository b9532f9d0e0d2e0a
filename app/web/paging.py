"""Keyset paging, newest first. The cursor names the last row, so that pages stay correct while rows are added."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Query
from sqlalchemy.orm import InstrumentedAttribute

from app.base.problems import Malformed
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect


@dataclass(frozen=True)
class PageWindow:
    """The requested part of a list."""

    limit: int
    cursor: str | None


async def page_window(
    limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: Annotated[str | None, Query(max_length=200)] = None
) -> PageWindow:
    return PageWindow(limit, cursor)


async def read_page(
    tx: Transaction, statement: AnySelect, key: InstrumentedAttribute[UUID], page: PageWindow
) -> tuple[Sequence[AnyRow], str | None]:
    """The rows of the window by descending `key` (a UUIDv7), and the cursor of the next one. Raises Malformed."""
    kind = key.class_.__tablename__
    if page.cursor is not None:
        statement = statement.where(key < _read_cursor(kind, page.cursor))
    rows = (await tx.execute(statement.order_by(key.desc()).limit(page.limit + 1))).all()
    if len(rows) <= page.limit:
        return rows, None
    last = getattr(rows[page.limit - 1], key.key)
    return rows[: page.limit], urlsafe_b64encode(f"{kind}:{last.hex}".encode()).decode()


def _read_cursor(kind: str, cursor: str) -> UUID:
    try:
        table, _, last = urlsafe_b64decode(cursor.encode()).decode().partition(":")
        if table == kind:
            return UUID(last)
    except (binascii.Error, ValueError):
        pass
    raise Malformed([("query:cursor", "invalid_cursor", "must be a `next_cursor` of this list")])
