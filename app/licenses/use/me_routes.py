"""`/v1/me/licenses`, `/v1/me/activations`: what the end user may use, and where."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from app.licenses.problems import ActivationNotFound
from app.licenses.schemas import LicenseSummary
from app.licenses.seats import activations
from app.licenses.seats.schemas import OwnActivation
from app.licenses.use import mine
from app.web.callers import TheSubject, TheWorld
from app.web.fields import Page, Slug
from app.web.paging import PageWindow, page_window
from app.web.problems import SubjectTokenRequired
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("licenses")
Wanted = Annotated[PageWindow, Depends(page_window)]


@router.get("/v1/me/licenses", responses=refuses(SubjectTokenRequired))
async def my_licenses(
    world: TheWorld, me: TheSubject, wanted: Wanted, product: Annotated[Slug | None, Query()] = None
) -> Page[LicenseSummary]:
    """The licenses that are assigned to the end user, without their keys."""
    found, cursor = await mine.licenses(world, me, wanted, product)
    now = world.clock.now()
    return Page(data=[LicenseSummary.of(it, now) for it in found], next_cursor=cursor)


@router.get("/v1/me/activations", responses=refuses(SubjectTokenRequired))
async def my_activations(world: TheWorld, me: TheSubject, wanted: Wanted) -> Page[OwnActivation]:
    """The seats that the end user holds."""
    rows, cursor = await activations.list_activations(world, wanted, user_id=me.id)
    return Page(data=[OwnActivation.seat(row) for row in rows], next_cursor=cursor)


@router.delete("/v1/me/activations/{activation_id}", status_code=204, responses=refuses(ActivationNotFound, SubjectTokenRequired))
async def release_mine(world: TheWorld, me: TheSubject, activation_id: UUID) -> None:
    """Give one of one's own seats back."""
    await activations.release(world, None, me, activation_id, None)
