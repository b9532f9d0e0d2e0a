"""`/v1/api-keys`."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.api_keys import service
from app.api_keys.problems import ApiKeyNotFound, ApiKeyOver, ScopeBeyondOwn
from app.api_keys.schemas import ApiKeyCreated, ApiKeyIn, ApiKeyOut, RotationIn
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import Page
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("operators")
Reads = Annotated[Operator, Depends(RequireScope("api_keys:read"))]
Writes = Annotated[Operator, Depends(RequireScope("api_keys:write"))]


@router.post("/v1/api-keys", summary="Create Operator Key", status_code=201, responses=refuses(ScopeMissing, ScopeBeyondOwn))
async def create(world: TheWorld, operator: Writes, body: ApiKeyIn) -> ApiKeyCreated:
    """Create an operator key. Store `key`: it is returned only in this response."""
    row, key = await service.create_key(world, operator, body.name, body.scopes, body.expires_at)
    return ApiKeyCreated(**row._mapping, key=key)


@router.post(
    "/v1/api-keys/{key_id}/rotate",
    summary="Rotate Operator Key",
    status_code=201,
    responses=refuses(ScopeMissing, ScopeBeyondOwn, ApiKeyNotFound, ApiKeyOver),
)
async def rotate(world: TheWorld, operator: Writes, key_id: UUID, body: RotationIn) -> ApiKeyCreated:
    """Replace a key with a new one that has the same name, scopes and expiry. Store `key`: it is returned only in this response.

    The old key stays valid for `overlap`. When it is no longer used (see `last_used_at`), revoke it or let it expire.
    """
    row, key = await service.rotate_key(world, operator, key_id, body.overlap)
    return ApiKeyCreated(**row._mapping, key=key)


@router.get("/v1/api-keys", summary="List Operator Keys", responses=refuses(ScopeMissing))
async def list_keys(world: TheWorld, operator: Reads, paging: Annotated[PageWindow, Depends(page_window)]) -> Page[ApiKeyOut]:
    """List operator keys, newest first, without the keys themselves."""
    rows, cursor = await service.list_keys(world, paging)
    return Page(data=[ApiKeyOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.delete("/v1/api-keys/{key_id}", summary="Revoke Operator Key", status_code=204, responses=refuses(ScopeMissing, ApiKeyNotFound))
async def revoke(world: TheWorld, operator: Writes, key_id: UUID) -> None:
    """Revoke a key at once. Repeating it changes nothing."""
    await service.revoke_key(world, operator, key_id)
