"""Exports all matching events as a stream, oldest first.

Each batch has its own short read. A slow client holds no connection, and only one batch is in memory.
"""

import csv
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from itertools import dropwhile
from typing import Any, Literal
from unicodedata import category, normalize
from uuid import UUID

from app.agreements.models import AgreementEvent, AgreementEventContext
from app.agreements.reporting.events import IMPORT_CLAIMS, EventFilters, read_import_claims
from app.base.durations import instant_text
from app.db.types import AnyRow, AnySelect
from app.events.service import Actor, record
from app.world import World

BATCH = 1000
TICK = timedelta(microseconds=1)
FORMULA_STARTS = ("=", "+", "-", "@")
"""Characters with which a spreadsheet starts a formula."""
_SEPARATORS = re.compile("(?<=[;\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029])")
_INVISIBLE = frozenset("ZCM")
"""First letters of the Unicode categories that may precede a formula invisibly: spaces, controls, marks."""
COLUMNS = (
    "id", "type", "at", "product", "agreement", "version", "ordinal", "text", "locale", "user", "seq", "grade", "actor_type", "actor_id",
    "amr", "fallback", "presentation", "receipt_sha256", "prev_sha256",
)  # fmt: skip
CONTEXT = ("ip", "user_agent")
ExportFormat = Literal["ndjson", "csv"]
BatchWriter = Callable[[Sequence[AnyRow]], bytes]


@dataclass(frozen=True)
class ExportRequest:
    """The format, the filters, and whether to include addresses and user agents that are not erased."""

    format: ExportFormat
    filters: EventFilters
    context: bool

    def select_events(self, now: datetime) -> AnySelect:
        """Build the statement of one batch. Events after `now` are excluded, so that the export ends."""
        until = min(filter(None, (self.filters.until, now + TICK)))
        statement = self.filters.select_events().where(AgreementEvent.at < until).order_by(AgreementEvent.id).limit(BATCH)
        if not self.context:
            return statement
        joined = statement.outerjoin(AgreementEventContext, AgreementEventContext.event_id == AgreementEvent.id)
        return joined.add_columns(AgreementEventContext.ip, AgreementEventContext.user_agent)

    def facts(self) -> dict[str, Any]:
        filters = {name: _to_json(value) for name, value in vars(self.filters).items() if value is not None}
        return {"form": self.format, "context": self.context, "filters": filters}


async def export_events(world: World, actor: Actor, request: ExportRequest) -> AsyncIterator[bytes]:
    """Read the first batch, record the export, then return the stream."""
    statement = request.select_events(world.clock.now())
    async with world.db.query() as tx:
        first = (await tx.execute(statement)).all()
    subject = ("agreement", request.filters.agreement) if request.filters.agreement is not None else ("api_key", actor.id or UUID(int=0))
    async with world.db.write() as tx:
        await record(tx, world, "agreement_events.exported", actor, subject, request.filters.user, **request.facts())
    columns = (*COLUMNS, *IMPORT_CLAIMS, *(CONTEXT if request.context else ()))
    write = _make_ndjson_writer(request.context) if request.format == "ndjson" else _make_csv_writer(columns)
    head = b"" if request.format == "ndjson" else _format_csv_line(columns).encode()
    return _stream_batches(world, statement, first, write, head + write(first))


async def _stream_batches(
    world: World, statement: AnySelect, first: Sequence[AnyRow], write: BatchWriter, opening: bytes
) -> AsyncIterator[bytes]:
    batch = first
    yield opening
    while len(batch) == BATCH:
        async with world.db.query() as tx:
            batch = (await tx.execute(statement.where(AgreementEvent.id > batch[-1].id))).all()
        yield write(batch)


def _make_ndjson_writer(context: bool) -> BatchWriter:
    def line(row: AnyRow) -> bytes:
        values = {name: _to_json(getattr(row, name)) for name in (*COLUMNS, "jws")}
        values["amr"] = row.amr.split() if row.amr is not None else None
        values["imported"] = read_import_claims(row.type, row.jws) or None
        if context:
            values["context"] = {name: getattr(row, name) for name in CONTEXT}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    return lambda rows: b"".join(line(row) for row in rows)


def _make_csv_writer(columns: Sequence[str]) -> BatchWriter:
    def line(row: AnyRow) -> str:
        values = {**row._mapping, **read_import_claims(row.type, row.jws)}
        return _format_csv_line([_neutralise_formulas(_to_json(values.get(name))) for name in columns])

    return lambda rows: "".join(line(row) for row in rows).encode()


def _format_csv_line(cells: Sequence[Any]) -> str:
    """Format one line as in RFC 4180: commas, CRLF, quotes where needed."""
    out = StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _to_json(value: Any) -> Any:
    """Convert a database value to a JSON value."""
    if isinstance(value, datetime):
        return instant_text(value)
    return str(value) if isinstance(value, UUID) else value


def _neutralise_formulas(cell: Any) -> Any:
    """Put an apostrophe before every possible formula in a cell, so that no spreadsheet evaluates it. None stays an empty cell.

    Some spreadsheets split cells at semicolons, tabs or line ends, so a formula may also start after those.
    """
    if not isinstance(cell, str):
        return cell
    safe = "".join(f"'{part}" if _starts_formula(part) else part for part in _SEPARATORS.split(cell))
    return f"'{safe}" if safe.startswith(("\t", "\r", "\n")) else safe


def _starts_formula(part: str) -> bool:
    """Return whether the part starts with a formula, after NFKC and without leading invisible characters and quotes."""
    visible = dropwhile(lambda character: character in "\"'" or category(character)[0] in _INVISIBLE, normalize("NFKC", part))
    return next(visible, "") in FORMULA_STARTS
