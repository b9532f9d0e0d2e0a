"""`/v1/users/{id}/erase|export`, `/v1/me/erasure|export`, `DELETE /v1/me`"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.responses import StreamingResponse

from app.login.problems import StepUpRequired
from app.privacy import erasure, export
from app.privacy.schemas import ErasureOut, Export
from app.users.problems import UserNotFound
from app.web.callers import Operator, RequireScope, TheSubject, TheWorld
from app.web.problems import ScopeMissing, SubjectTokenRequired
from app.web.routing import NOT_REPLAYED, refuses
from app.web.routing import router as new_router

router = new_router("support")
Reads = Annotated[Operator, Depends(RequireScope("users:read"))]
Writes = Annotated[Operator, Depends(RequireScope("users:write"))]
JSON = "application/json"


@router.post("/v1/users/{user_id}/erase", responses=refuses(ScopeMissing, UserNotFound))
async def erase(world: TheWorld, operator: Writes, user_id: UUID) -> ErasureOut:
    """Forget who an end user was, for ever. What they agreed to stays on record under their id. May be called again."""
    return ErasureOut.of(user_id, await erasure.erase(world, operator.actor, user_id))


@router.delete("/v1/me", responses=refuses(SubjectTokenRequired, StepUpRequired))
async def erase_me(world: TheWorld, subject: TheSubject) -> ErasureOut:
    """End one's own account, for ever. Wants a login or a second factor of just now."""
    return ErasureOut.of(subject.id, await erasure.erase_me(world, subject))


@router.post("/v1/me/erasure", responses=refuses(SubjectTokenRequired, StepUpRequired))
async def ask_for_erasure(world: TheWorld, subject: TheSubject) -> ErasureOut:
    """The same as `DELETE /v1/me`."""
    return ErasureOut.of(subject.id, await erasure.erase_me(world, subject))


@router.get("/v1/users/{user_id}/export", response_model=Export, responses=refuses(ScopeMissing, UserNotFound))
async def export_user(world: TheWorld, operator: Reads, user_id: UUID) -> StreamingResponse:
    """All that is kept about an end user, as one document without secrets; for a key that may read all of it (`users`, `licenses`,
    `agreements`). The read is itself an event that they can see."""
    operator.require("licenses:read")
    operator.require("agreements:read")
    return StreamingResponse(await export.export_user(world, operator.actor, user_id), media_type=JSON)


@router.post("/v1/me/export", response_model=Export, openapi_extra=NOT_REPLAYED, responses=refuses(SubjectTokenRequired))
async def export_me(world: TheWorld, subject: TheSubject) -> StreamingResponse:
    """All that is kept about oneself, as one document without secrets. It is made anew each time; `Idempotency-Key` is not for it."""
    return StreamingResponse(await export.export_user(world, subject.actor, subject.id), media_type=JSON)
