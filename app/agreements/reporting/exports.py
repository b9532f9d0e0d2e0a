"""All events that fit, as a stream: oldest first, in batches that each have their own short read. A client that reads slowly holds
no connection, and however many events there are, one batch of them is in memory."""

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
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""
_SEPARATORS = re.compile("(?<=[;\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029])")
_UNSEEN = frozenset("ZCM")
"""Unicode categories, by their first letter, of what may stand before a formula without being seen: spaces, controls, marks."""
COLUMNS = (
    "id", "type", "at", "product", "agreement", "version", "ordinal", "text", "locale", "user", "seq", "grade", "actor_type", "actor_id",
    "amr", "fallback", "presentation", "receipt_sha256", "prev_sha256",
)  # fmt: skip
CONTEXT = ("ip", "user_agent")
ExportFormat = Literal["ndjson", "csv"]
Write = Callable[[Sequence[AnyRow]], bytes]


@dataclass(frozen=True)
class ExportRequest:
    """What was asked for: the form, and whether addresses and user agents come with it, as far as they are not erased."""

    form: ExportFormat
    filters: EventFilters
    context: bool

    def wanted(self, now: datetime) -> AnySelect:
        """Whatever happens after `now` is no part of it, so that it ends."""
        until = min(filter(None, (self.filters.until, now + TICK)))
        statement = self.filters.wanted().where(AgreementEvent.at < until).order_by(AgreementEvent.id).limit(BATCH)
        if not self.context:
            return statement
        joined = statement.outerjoin(AgreementEventContext, AgreementEventContext.event_id == AgreementEvent.id)
        return joined.add_columns(AgreementEventContext.ip, AgreementEventContext.user_agent)

    def facts(self) -> dict[str, Any]:
        asked = {name: _plain(value) for name, value in vars(self.filters).items() if value is not None}
        return {"form": self.form, "context": self.context, "filters": asked}


async def export(world: World, actor: Actor, wanted: ExportRequest) -> AsyncIterator[bytes]:
    """The export, whose first batch has been read. Who took what is recorded before anything leaves."""
    statement = wanted.wanted(world.clock.now())
    async with world.db.query() as tx:
        first = (await tx.execute(statement)).all()
    subject = ("agreement", wanted.filters.agreement) if wanted.filters.agreement is not None else ("api_key", actor.id or UUID(int=0))
    async with world.db.write() as tx:
        await record(tx, world, "agreement_events.exported", actor, subject, wanted.filters.user, **wanted.facts())
    columns = (*COLUMNS, *IMPORT_CLAIMS, *(CONTEXT if wanted.context else ()))
    write = _ndjson(wanted.context) if wanted.form == "ndjson" else _csv(columns)
    head = b"" if wanted.form == "ndjson" else _line(columns).encode()
    return _batches(world, statement, first, write, head + write(first))


async def _batches(world: World, statement: AnySelect, first: Sequence[AnyRow], write: Write, opening: bytes) -> AsyncIterator[bytes]:
    batch = first
    yield opening
    while len(batch) == BATCH:
        async with world.db.query() as tx:
            batch = (await tx.execute(statement.where(AgreementEvent.id > batch[-1].id))).all()
        yield write(batch)


def _ndjson(context: bool) -> Write:
    def line(row: AnyRow) -> bytes:
        told = {name: _plain(getattr(row, name)) for name in (*COLUMNS, "jws")}
        told["amr"] = row.amr.split() if row.amr is not None else None
        told["imported"] = read_import_claims(row.type, row.jws) or None
        if context:
            told["context"] = {name: getattr(row, name) for name in CONTEXT}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    return lambda rows: b"".join(line(row) for row in rows)


def _csv(columns: Sequence[str]) -> Write:
    def line(row: AnyRow) -> str:
        told = {**row._mapping, **read_import_claims(row.type, row.jws)}
        return _line([_safe(_plain(told.get(name))) for name in columns])

    return lambda rows: "".join(line(row) for row in rows).encode()


def _line(cells: Sequence[Any]) -> str:
    """RFC 4180: commas, CRLF, quotes where they are needed."""
    out = StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _plain(value: Any) -> Any:
    """A value of the database as JSON has it."""
    if isinstance(value, datetime):
        return instant_text(value)
    return str(value) if isinstance(value, UUID) else value


def _safe(cell: Any) -> Any:
    """A cell in which no spreadsheet finds a formula, also one that takes semicolons, tabs or line ends inside of it for its own
    separators: an apostrophe goes before each that it could. Nothing is an empty cell."""
    if not isinstance(cell, str):
        return cell
    told = "".join(f"'{part}" if _runs(part) else part for part in _SEPARATORS.split(cell))
    return f"'{told}" if told.startswith(("\t", "\r", "\n")) else told


def _runs(part: str) -> bool:
    """Whether it begins a formula once it was folded as a spreadsheet may do, and what is not seen, and quotes, are left out."""
    seen = dropwhile(lambda sign: sign in "\"'" or category(sign)[0] in _UNSEEN, normalize("NFKC", part))
    return next(seen, "") in FORMULA
