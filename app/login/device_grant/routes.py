"""`/v1/device`: device authorization grant (RFC 8628). Another session of the user approves by a short code."""

from typing import Annotated

from fastapi import Query

from app.catalog.problems import ProductNotFound
from app.login.device_grant import approval
from app.login.device_grant import service as device_grant
from app.login.device_grant.schemas import DeviceCodeIn, DeviceCodeOut, DeviceRequest, DeviceTokenIn, UserCode, UserCodeIn
from app.login.problems import (
    AccessDenied,
    AuthorizationPending,
    DeviceCodeDecided,
    DeviceCodeNotFound,
    EmailNotVerified,
    ExpiredToken,
    PasskeyMissing,
    SecondFactorMissing,
    SlowDown,
    StepUpRequired,
)
from app.login.sessions import service as sessions
from app.login.signing_in.schemas import LoginComplete
from app.web.callers import TheOrigin, TheSubject, TheWorld
from app.web.problems import SubjectTokenRequired, TooManyAttempts
from app.web.routing import NOT_REPLAYED, refuses
from app.web.routing import router as new_router

router = new_router("device")
DECISION_REFUSALS = (SubjectTokenRequired, DeviceCodeNotFound, DeviceCodeDecided, TooManyAttempts)


@router.post(
    "/v1/device/code", summary="Begin Device Grant", openapi_extra=NOT_REPLAYED, responses=refuses(ProductNotFound, TooManyAttempts)
)
async def begin(world: TheWorld, origin: TheOrigin, body: DeviceCodeIn) -> DeviceCodeOut:
    """Begin a login for a device (RFC 8628): show `user_code` and `verification_uri` to the user, and poll with `device_code`.

    `Idempotency-Key` is ignored, because the callers are anonymous: each call creates a new request.
    """
    client = sessions.describe_client(world, body.product, body.device.model_dump() if body.device else None)
    return DeviceCodeOut.of(await device_grant.begin(world, origin, client))


@router.post("/v1/device/token", summary="Poll Device Grant", responses=refuses(AuthorizationPending, SlowDown, AccessDenied, ExpiredToken))
async def redeem(world: TheWorld, origin: TheOrigin, body: DeviceTokenIn) -> LoginComplete:
    """Poll every `interval` seconds. After the approval, one poll returns the tokens, like a login.

    The problem codes are from RFC 8628 section 3.5; the statuses are 409, 429, 403 and 410 instead of 400. 409 `authorization_pending`
    and 429 `slow_down` return the interval (seconds) in `interval` and Retry-After; 403 and 410 are final.
    """
    return LoginComplete.of(await device_grant.redeem(world, origin, body.device_code))


@router.get("/v1/device", summary="Show Device Request", responses=refuses(*DECISION_REFUSALS))
async def claim(world: TheWorld, origin: TheOrigin, subject: TheSubject, user_code: Annotated[UserCode, Query()]) -> DeviceRequest:
    """Show the request and the assurance level needed to approve it. From now on only this session can approve or deny it."""
    request = await approval.open_request(world, origin, subject, user_code)
    return DeviceRequest.of(request.row, request.product_name, request.required_level)


@router.post(
    "/v1/device/approve",
    summary="Approve Device Request",
    status_code=204,
    responses=refuses(*DECISION_REFUSALS, EmailNotVerified, PasskeyMissing, SecondFactorMissing, StepUpRequired),
)
async def approve(world: TheWorld, origin: TheOrigin, subject: TheSubject, body: UserCodeIn) -> None:
    """Approve the request. The new session gets this session's assurance level. Requires the level in `wants` of `GET /v1/device`.

    A recovery code is not enough.
    """
    await approval.approve(world, origin, subject, body.user_code)


@router.post("/v1/device/deny", summary="Deny Device Request", status_code=204, responses=refuses(*DECISION_REFUSALS))
async def deny(world: TheWorld, origin: TheOrigin, subject: TheSubject, body: UserCodeIn) -> None:
    """Deny the request. The first decision is final."""
    await approval.deny(world, origin, subject, body.user_code)
