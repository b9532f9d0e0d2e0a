"""`/v1/events`, `/v1/event-types`"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from app.audit import service as audit
from app.audit.problems import EventNotFound
from app.audit.schemas import AuditEventOut, EventTypeOut, EventTypesOut
from app.audit.service import Filters
from app.events.kinds import KINDS
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import EventType, InstantIn, Page
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("events")
Reader = Annotated[Operator, Depends(RequireScope("events:read"))]
Window = Annotated[PageWindow, Depends(page_window)]
Noun = Annotated[str | None, Query(max_length=32, pattern="^[a-z_]+$")]


async def parse_filters(
    type: Annotated[EventType | None, Query()] = None,
    user: Annotated[UUID | None, Query()] = None,
    subject_type: Noun = None,
    subject: Annotated[UUID | None, Query()] = None,
    actor_type: Noun = None,
    actor: Annotated[UUID | None, Query()] = None,
    since: Annotated[InstantIn | None, Query(alias="from")] = None,
    until: Annotated[InstantIn | None, Query(alias="to")] = None,
) -> Filters:
    """Collect the query parameters: `from` <= `at` < `to`; `type` may be `noun.*`."""
    return Filters(type, user, subject_type, subject, actor_type, actor, since, until)


@router.get("/v1/events", responses=refuses(ScopeMissing))
async def list_events(
    world: TheWorld, operator: Reader, window: Window, filters: Annotated[Filters, Depends(parse_filters)]
) -> Page[AuditEventOut]:
    """List events of every kind, newest first."""
    rows, cursor = await audit.list_events(world, filters, window)
    return Page(data=[AuditEventOut.of(row) for row in rows], next_cursor=cursor)


@router.get("/v1/events/{event_id}", responses=refuses(ScopeMissing, EventNotFound))
async def get_event(world: TheWorld, operator: Reader, event_id: UUID) -> AuditEventOut:
    """Return one event."""
    return AuditEventOut.of(await audit.get_event(world, event_id))


@router.get("/v1/event-types", responses=refuses(ScopeMissing))
async def list_event_types(operator: Reader) -> EventTypesOut:
    """List every event type. A webhook may also subscribe to `noun.*` or `*`."""
    return EventTypesOut(data=[EventTypeOut(type=kind, title=title) for kind, title in KINDS.items()])
