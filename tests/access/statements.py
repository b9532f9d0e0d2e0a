"""Which statements the database is sent, whichever way they take."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from app.db.database import Database
from app.db.fast_reads import FastReads


@contextmanager
def seen(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The text of every statement within the block: those of the fast lane, and those of SQLAlchemy's own way."""
    texts: list[str] = []
    found = FastReads._fetch

    async def told(lane: FastReads, kept: Any, statement: Any, parameters: Any) -> Any:
        texts.append(str(statement))
        return await found(lane, kept, statement, parameters)

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        texts.append(statement)

    engines = {database.reader.sync_engine, database.writer.sync_engine}
    with monkeypatch.context() as patched:
        patched.setattr(FastReads, "_fetch", told)
        for engine in engines:
            event.listen(engine, "before_cursor_execute", executed)
        try:
            yield texts
        finally:
            for engine in engines:
                event.remove(engine, "before_cursor_execute", executed)
