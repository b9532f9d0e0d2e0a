"""Keyset lists, newest first: a cursor names the last row seen, so pages stay right while rows are added."""

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
    """Which part of a list is wanted."""

    limit: int
    cursor: str | None


async def page_window(
    limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: Annotated[str | None, Query(max_length=200)] = None
) -> PageWindow:
    return PageWindow(limit, cursor)


async def read_page(
    tx: Transaction, statement: AnySelect, key: InstrumentedAttribute[UUID], wanted: PageWindow
) -> tuple[Sequence[AnyRow], str | None]:
    """The rows of the window by descending `key` (a UUIDv7), and the cursor of the next one. Raises Malformed."""
    kind = key.class_.__tablename__
    if wanted.cursor is not None:
        statement = statement.where(key < _after(kind, wanted.cursor))
    rows = (await tx.execute(statement.order_by(key.desc()).limit(wanted.limit + 1))).all()
    if len(rows) <= wanted.limit:
        return rows, None
    last = getattr(rows[wanted.limit - 1], key.key)
    return rows[: wanted.limit], urlsafe_b64encode(f"{kind}:{last.hex}".encode()).decode()


def _after(kind: str, cursor: str) -> UUID:
    try:
        told, _, last = urlsafe_b64decode(cursor.encode()).decode().partition(":")
        if told == kind:
            return UUID(last)
    except (binascii.Error, ValueError):
        pass
    raise Malformed([("query:cursor", "invalid_cursor", "must be a `next_cursor` of this list")])
