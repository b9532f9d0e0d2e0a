"""`/v1/agreements/{id}/coverage|users|imports`, `/v1/agreement-events` and its exports, for operators."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from app.agreements.models import EventType
from app.agreements.problems import AgreementIsNotice, AgreementNotFound
from app.agreements.reporting import coverage, events, exports, imports
from app.agreements.reporting.events import EventFilters
from app.agreements.reporting.exports import ExportRequest
from app.agreements.reporting.schemas import AgreementEventOut, CoverageOut, ImportsIn, ImportsOut, StatusName, UserStatusOut
from app.base.durations import instant_text
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import INT_MAX, InstantIn, Page, Slug
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router
from app.world import World

router: APIRouter = new_router("agreements")
Reader = Annotated[Operator, Depends(RequireScope("agreements:read"))]
Writer = Annotated[Operator, Depends(RequireScope("agreements:write"))]
RequestedPage = Annotated[PageWindow, Depends(page_window)]
AsOf = Annotated[InstantIn | None, Query()]


class NdJson(StreamingResponse):
    media_type = "application/x-ndjson"


class Csv(StreamingResponse):
    media_type = "text/csv"


async def read_filters(
    product: Annotated[Slug | None, Query()] = None,
    agreement: Annotated[UUID | None, Query()] = None,
    user: Annotated[UUID | None, Query()] = None,
    type: Annotated[EventType | None, Query()] = None,
    ordinal: Annotated[int | None, Query(ge=1, le=INT_MAX)] = None,
    since: Annotated[InstantIn | None, Query(alias="from")] = None,
    until: Annotated[InstantIn | None, Query(alias="to")] = None,
) -> EventFilters:
    """Collect the query parameters: `from` <= `at` < `to`."""
    return EventFilters(product, agreement, user, type, ordinal, since, until)


QueryFilters = Annotated[EventFilters, Depends(read_filters)]
WithContext = Annotated[bool, Query(description="Include the IP address and the user agent, unless they are erased.")]


@router.get("/v1/agreements/{document_id}/coverage", responses=refuses(ScopeMissing, AgreementNotFound))
async def get_coverage(world: TheWorld, operator: Reader, document_id: UUID, as_of: AsOf = None) -> CoverageOut:
    """Count end users by status at the time `as_of` (absent: now), computed from the ledger.

    Only end users with a presentation or an event of the agreement are counted. An imported acceptance counts from its import.
    """
    return CoverageOut.from_coverage(await coverage.count_users(world, document_id, as_of))


@router.get("/v1/agreements/{document_id}/users", summary="List End Users of Agreement", responses=refuses(ScopeMissing, AgreementNotFound))
async def list_users(
    world: TheWorld,
    operator: Reader,
    document_id: UUID,
    requested: RequestedPage,
    status: Annotated[StatusName | None, Query()] = None,
    as_of: AsOf = None,
) -> Page[UserStatusOut]:
    """List the end users that the coverage counts, newest account first. Send the same `as_of` for every page."""
    rows, cursor = await coverage.list_users(world, document_id, requested, status, as_of)
    return Page(data=[UserStatusOut.from_row(row) for row in rows], next_cursor=cursor)


@router.post("/v1/agreements/{document_id}/imports", responses=refuses(ScopeMissing, AgreementNotFound, AgreementIsNotice))
async def import_acceptances(world: TheWorld, operator: Writer, document_id: UUID, body: ImportsIn) -> ImportsOut:
    """Import acceptances that were given elsewhere, each independently. The same `external_ref` again returns the same event.

    Imported acceptances count in the access decision, are marked `imported`, and are the weakest evidence (grade C).
    """
    return ImportsOut.from_results(
        await imports.import_acceptances(world, operator.actor, document_id, [item.to_value() for item in body.data])
    )


@router.get("/v1/agreement-events", summary="List Agreement Events", responses=refuses(ScopeMissing))
async def list_events(world: TheWorld, operator: Reader, requested: RequestedPage, filters: QueryFilters) -> Page[AgreementEventOut]:
    """List the events of the ledger, newest first. `from` <= `at` < `to`."""
    rows, cursor = await events.list_events(world, filters, requested)
    return Page(data=[AgreementEventOut.from_row(row) for row in rows], next_cursor=cursor)


@router.get(
    "/v1/agreement-events.ndjson", summary="Export Agreement Events as NDJSON", response_class=NdJson, responses=refuses(ScopeMissing)
)
async def export_ndjson(world: TheWorld, operator: Reader, filters: QueryFilters, context: WithContext = False) -> Response:  # noqa: FBT002  a flag of the query
    """Export all matching events, oldest first, one JSON object per line with its signed receipt (`jws`). The export is recorded.

    A complete response ends with a line end; otherwise the export failed.
    """
    return NdJson(
        await exports.export_events(world, operator.actor, ExportRequest("ndjson", filters, context)),
        headers=_attachment_headers(world, "ndjson"),
    )


@router.get("/v1/agreement-events.csv", summary="Export Agreement Events as CSV", response_class=Csv, responses=refuses(ScopeMissing))
async def export_csv(world: TheWorld, operator: Reader, filters: QueryFilters, context: WithContext = False) -> Response:  # noqa: FBT002  a flag of the query
    """Export the same events as a table (RFC 4180, UTF-8, with a header), without the receipts.

    Where a spreadsheet could evaluate a formula (at the start of a cell, or after a semicolon, tab or line end in it), the export inserts
    an apostrophe that is not part of the value.
    """
    return Csv(
        await exports.export_events(world, operator.actor, ExportRequest("csv", filters, context)),
        headers=_attachment_headers(world, "csv"),
    )


def _attachment_headers(world: World, extension: str) -> dict[str, str]:
    day = instant_text(world.clock.now())[:10]
    return {"Content-Disposition": f'attachment; filename="agreement-events-{day}.{extension}"'}
