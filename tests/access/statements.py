"""Record the statements that are sent to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from app.db.database import Database
from app.db.fast_reads import FastReads


@contextmanager
def record_statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Record the text of every statement within the block, both those of fast reads and those of SQLAlchemy."""
    statements: list[str] = []
    fetch = FastReads._fetch

    async def record_fast(reads: FastReads, pinned: Any, statement: Any, parameters: Any) -> Any:
        statements.append(str(statement))
        return await fetch(reads, pinned, statement, parameters)

    def record_other(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engines = {database.reader.sync_engine, database.writer.sync_engine}
    with monkeypatch.context() as patched:
        patched.setattr(FastReads, "_fetch", record_fast)
        for engine in engines:
            event.listen(engine, "before_cursor_execute", record_other)
        try:
            yield statements
        finally:
            for engine in engines:
                event.remove(engine, "before_cursor_execute", record_other)
