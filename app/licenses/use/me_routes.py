"""`/v1/me/licenses`, `/v1/me/activations`: the end user's licenses and seats."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from app.licenses.problems import ActivationNotFound
from app.licenses.schemas import LicenseSummary
from app.licenses.seats import activations
from app.licenses.seats.schemas import OwnActivation
from app.licenses.use.my_licenses import list_licenses
from app.web.callers import TheSubject, TheWorld
from app.web.fields import Page, Slug
from app.web.paging import PageWindow, page_window
from app.web.problems import SubjectTokenRequired
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("licenses")
Paging = Annotated[PageWindow, Depends(page_window)]


@router.get("/v1/me/licenses", summary="List My Licenses", responses=refuses(SubjectTokenRequired))
async def my_licenses(
    world: TheWorld, me: TheSubject, paging: Paging, product: Annotated[Slug | None, Query()] = None
) -> Page[LicenseSummary]:
    """List the licenses that are assigned to the end user, without their keys."""
    licenses, cursor = await list_licenses(world, me, paging, product)
    now = world.clock.now()
    return Page(data=[LicenseSummary.of(license, now) for license in licenses], next_cursor=cursor)


@router.get("/v1/me/activations", summary="List My Seats", responses=refuses(SubjectTokenRequired))
async def my_activations(world: TheWorld, me: TheSubject, paging: Paging) -> Page[OwnActivation]:
    """List the end user's seats."""
    rows, cursor = await activations.list_activations(world, paging, user_id=me.id)
    return Page(data=[OwnActivation.of(row) for row in rows], next_cursor=cursor)


@router.delete(
    "/v1/me/activations/{activation_id}",
    summary="Release My Seat",
    status_code=204,
    responses=refuses(ActivationNotFound, SubjectTokenRequired),
)
async def release_mine(world: TheWorld, me: TheSubject, activation_id: UUID) -> None:
    """Release one of the end user's seats."""
    await activations.release(world, None, me, activation_id, None)
