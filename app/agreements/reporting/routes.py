"""`/v1/agreements/{id}/coverage|users|imports`, `/v1/agreement-events` and its exports: acceptances by the many, for operators."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from app.agreements.models import EventType
from app.agreements.problems import AgreementIsNotice, AgreementNotFound
from app.agreements.reporting import coverage, events, exports, imports
from app.agreements.reporting.events import EventFilters
from app.agreements.reporting.exports import ExportRequest
from app.agreements.reporting.schemas import AgreementEventOut, CoverageOut, CoveredOut, ImportsIn, ImportsOut, StatusName
from app.base.durations import instant_text
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import INT_MAX, InstantIn, Page, Slug
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router
from app.world import World

router: APIRouter = new_router("agreements")
Reads = Annotated[Operator, Depends(RequireScope("agreements:read"))]
Writes = Annotated[Operator, Depends(RequireScope("agreements:write"))]
Wanted = Annotated[PageWindow, Depends(page_window)]
AsOf = Annotated[InstantIn | None, Query()]


class NdJson(StreamingResponse):
    media_type = "application/x-ndjson"


class Csv(StreamingResponse):
    media_type = "text/csv"


async def filters(
    product: Annotated[Slug | None, Query()] = None,
    agreement: Annotated[UUID | None, Query()] = None,
    user: Annotated[UUID | None, Query()] = None,
    type: Annotated[EventType | None, Query()] = None,
    ordinal: Annotated[int | None, Query(ge=1, le=INT_MAX)] = None,
    since: Annotated[InstantIn | None, Query(alias="from")] = None,
    until: Annotated[InstantIn | None, Query(alias="to")] = None,
) -> EventFilters:
    """`from` <= `at` < `to`."""
    return EventFilters(product, agreement, user, type, ordinal, since, until)


Filtered = Annotated[EventFilters, Depends(filters)]
WithContext = Annotated[bool, Query(description="With address and user agent, as far as they are not erased.")]


@router.get("/v1/agreements/{document_id}/coverage", responses=refuses(ScopeMissing, AgreementNotFound))
async def get_coverage(world: TheWorld, operator: Reads, document_id: UUID, as_of: AsOf = None) -> CoverageOut:
    """How many end users stood where at an instant (absent: now), replayed from the ledger. They are those who had been shown a text
    of the agreement or had an event about it. An imported acceptance counts from its import on."""
    return CoverageOut.told(await coverage.count_users(world, document_id, as_of))


@router.get("/v1/agreements/{document_id}/users", responses=refuses(ScopeMissing, AgreementNotFound))
async def list_users(
    world: TheWorld,
    operator: Reads,
    document_id: UUID,
    wanted: Wanted,
    status: Annotated[StatusName | None, Query()] = None,
    as_of: AsOf = None,
) -> Page[CoveredOut]:
    """The end users that the coverage counts, those who were created last first. Give every page the same `as_of`."""
    rows, cursor = await coverage.list_users(world, document_id, wanted, status, as_of)
    return Page(data=[CoveredOut.told(row) for row in rows], next_cursor=cursor)


@router.post("/v1/agreements/{document_id}/imports", responses=refuses(ScopeMissing, AgreementNotFound, AgreementIsNotice))
async def import_acceptances(world: TheWorld, operator: Writes, document_id: UUID, body: ImportsIn) -> ImportsOut:
    """Bring acceptances that were given elsewhere. Each stands or falls by itself; the same `external_ref` again is the same event.

    They count in the access decision, are marked `imported` for ever, and are the weakest evidence (grade C).
    """
    return ImportsOut.told(await imports.import_acceptances(world, operator.actor, document_id, [it.value() for it in body.data]))


@router.get("/v1/agreement-events", responses=refuses(ScopeMissing))
async def list_events(world: TheWorld, operator: Reads, wanted: Wanted, which: Filtered) -> Page[AgreementEventOut]:
    """What the ledger holds, newest first. `from` <= `at` < `to`."""
    rows, cursor = await events.list_events(world, which, wanted)
    return Page(data=[AgreementEventOut.told(row) for row in rows], next_cursor=cursor)


@router.get("/v1/agreement-events.ndjson", response_class=NdJson, responses=refuses(ScopeMissing))
async def export_ndjson(world: TheWorld, operator: Reads, which: Filtered, context: WithContext = False) -> Response:  # noqa: FBT002  a flag of the query
    """All events that fit, oldest first, one JSON object a line, each with its signed receipt (`jws`). The export is itself recorded.

    An answer that breaks off has failed; a whole one ends with a line end.
    """
    return NdJson(await exports.export(world, operator.actor, ExportRequest("ndjson", which, context)), headers=_named(world, "ndjson"))


@router.get("/v1/agreement-events.csv", response_class=Csv, responses=refuses(ScopeMissing))
async def export_csv(world: TheWorld, operator: Reads, which: Filtered, context: WithContext = False) -> Response:  # noqa: FBT002  the same
    """The same as a table (RFC 4180, UTF-8, with a header), without the receipts. Whatever a spreadsheet could take for a formula, at
    the beginning of a cell or behind a semicolon, tab or line end in it, has an apostrophe before it that is not part of the value."""
    return Csv(await exports.export(world, operator.actor, ExportRequest("csv", which, context)), headers=_named(world, "csv"))


def _named(world: World, ending: str) -> dict[str, str]:
    day = instant_text(world.clock.now())[:10]
    return {"Content-Disposition": f'attachment; filename="agreement-events-{day}.{ending}"'}
