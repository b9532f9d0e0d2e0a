"""`/v1/users`: profiles of end users. `POST /v1/users` is in the login package, because it can set a password."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from app.users import service
from app.users.models import UserStatus
from app.users.problems import UserErased, UserExternalIdTaken, UserNotFound
from app.users.schemas import UserOut, UserPatch
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import Email, ExternalId, Page
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("users")
Reads = Annotated[Operator, Depends(RequireScope("users:read"))]
Writes = Annotated[Operator, Depends(RequireScope("users:write"))]


@router.get("/v1/users", responses=refuses(ScopeMissing))
async def list_users(
    world: TheWorld,
    operator: Reads,
    paging: Annotated[PageWindow, Depends(page_window)],
    email: Annotated[Email | None, Query()] = None,
    external_id: Annotated[ExternalId | None, Query()] = None,
) -> Page[UserOut]:
    """List end users, newest first; filter by `email` or `external_id`."""
    rows, cursor = await service.list_users(world, paging, email, external_id)
    return Page(data=[UserOut.of(row) for row in rows], next_cursor=cursor)


@router.get("/v1/users/{user_id}", responses=refuses(ScopeMissing, UserNotFound))
async def get_user(world: TheWorld, operator: Reads, user_id: UUID) -> UserOut:
    """Return an end user."""
    return UserOut.of(await service.get_user(world, user_id))


@router.patch("/v1/users/{user_id}", responses=refuses(ScopeMissing, UserNotFound, UserExternalIdTaken, UserErased))
async def change_user(world: TheWorld, operator: Writes, user_id: UUID, body: UserPatch) -> UserOut:
    """Change an end user's profile. Absent fields stay unchanged."""
    return UserOut.of(await service.change_user(world, operator.actor, user_id, body.to_changes()))


@router.post("/v1/users/{user_id}/suspend", summary="Suspend User", responses=refuses(ScopeMissing, UserNotFound, UserErased))
async def suspend(world: TheWorld, operator: Writes, user_id: UUID) -> UserOut:
    """Suspend the account: logins are refused and access is denied. All sessions end; restoring the account does not revive them."""
    return UserOut.of(await service.set_status(world, operator.actor, user_id, UserStatus.SUSPENDED))


@router.post("/v1/users/{user_id}/restore", summary="Restore User", responses=refuses(ScopeMissing, UserNotFound, UserErased))
async def restore(world: TheWorld, operator: Writes, user_id: UUID) -> UserOut:
    """End the suspension of an account. The end user must log in again."""
    return UserOut.of(await service.set_status(world, operator.actor, user_id, UserStatus.ACTIVE))
