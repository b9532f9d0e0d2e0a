"""Everything that the database stores, as text to search for secrets."""

import json
from typing import Any

from sqlalchemy import select

from app.models import METADATA
from tests.given import Given


async def read_all_tables(given: Given) -> dict[str, str]:
    """Return the rows of each table that has any, as one text. Bytes become characters, so that a secret in them is found."""
    async with given.world.db.read() as tx:
        tables = {table.name: (await tx.execute(select(table))).all() for table in METADATA.sorted_tables}
    return {name: "\n".join(_plain(value) for row in rows for value in row) for name, rows in tables.items() if rows}


def _plain(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else json.dumps(value) if isinstance(value, dict | list) else str(value)
