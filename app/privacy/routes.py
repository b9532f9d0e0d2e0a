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
Reader = Annotated[Operator, Depends(RequireScope("users:read"))]
Writer = Annotated[Operator, Depends(RequireScope("users:write"))]
JSON = "application/json"


@router.post("/v1/users/{user_id}/erase", summary="Erase User", responses=refuses(ScopeMissing, UserNotFound))
async def erase(world: TheWorld, operator: Writer, user_id: UUID) -> ErasureOut:
    """Erase an end user's personal data permanently. The signed receipts stay, under the user's id. Repeating it is safe."""
    return ErasureOut.of(user_id, await erasure.erase(world, operator.actor, user_id))


@router.delete("/v1/me", summary="Erase My Account", responses=refuses(SubjectTokenRequired, StepUpRequired))
async def erase_me(world: TheWorld, subject: TheSubject) -> ErasureOut:
    """Erase the caller's account permanently. Requires a recent login or second factor."""
    return ErasureOut.of(subject.id, await erasure.erase_me(world, subject))


@router.post("/v1/me/erasure", summary="Erase My Account (POST)", responses=refuses(SubjectTokenRequired, StepUpRequired))
async def ask_for_erasure(world: TheWorld, subject: TheSubject) -> ErasureOut:
    """Erase the caller's account: the same as `DELETE /v1/me`, for clients that cannot send DELETE."""
    return ErasureOut.of(subject.id, await erasure.erase_me(world, subject))


@router.get("/v1/users/{user_id}/export", summary="Export User Data", response_model=Export, responses=refuses(ScopeMissing, UserNotFound))
async def export_user(world: TheWorld, operator: Reader, user_id: UUID) -> StreamingResponse:
    """Export everything stored about an end user as one document without secrets.

    Requires the scopes `users:read`, `licenses:read` and `agreements:read`. The export is recorded as an event that the user can see.
    """
    operator.require("licenses:read")
    operator.require("agreements:read")
    return StreamingResponse(await export.export_user(world, operator.actor, user_id), media_type=JSON)


@router.post(
    "/v1/me/export", summary="Export My Data", response_model=Export, openapi_extra=NOT_REPLAYED, responses=refuses(SubjectTokenRequired)
)
async def export_me(world: TheWorld, subject: TheSubject) -> StreamingResponse:
    """Export everything stored about the caller as one document without secrets. `Idempotency-Key` is ignored."""
    return StreamingResponse(await export.export_user(world, subject.actor, subject.id), media_type=JSON)
