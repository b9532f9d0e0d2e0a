"""`/v1/activations`, `/v1/licenses/{id}/activations`, `/v1/activation-codes`, `/v1/licenses/{id}/activation-codes`"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from app.licenses import problems
from app.licenses.problems import LICENSE_REFUSALS, ActivationCodeInvalid, ActivationNotFound, LicenseNotFound, SeatLimitReached
from app.licenses.seats import activations, codes, leases
from app.licenses.seats import service as seats
from app.licenses.seats.schemas import (
    ActivationCodeOut,
    ActivationCodesIn,
    ActivationIn,
    ActivationOut,
    ActivationResult,
    CreatedActivationCode,
    CreatedActivationCodes,
    SeatReleaseIn,
)
from app.web.callers import ActivationCaller, MaybeSubject, Operator, PendingLoginCaller, RequireScope, TheOrigin, TheWorld, VerifiedCaller
from app.web.fields import Line, Page
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing, SubjectTokenRequired, TooManyAttempts
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("licenses")
Reads = Annotated[Operator, Depends(RequireScope("licenses:read"))]
Writes = Annotated[Operator, Depends(RequireScope("licenses:write"))]
Paging = Annotated[PageWindow, Depends(page_window)]


@router.post(
    "/v1/activations",
    status_code=201,
    responses={
        200: {"model": ActivationResult, "description": "The device already had a seat"},
        **refuses(
            problems.LoginRequired, LicenseNotFound, ActivationCodeInvalid, *LICENSE_REFUSALS, problems.DeviceRequired,
            problems.ActivationCodeBound, SubjectTokenRequired, SeatLimitReached, problems.SeatsNotUsed, problems.TrialUsed,
            problems.UserLimitReached, problems.ActivationCodeSpent, problems.LicenseDatesImpossible, TooManyAttempts,
        ),
    },
)  # fmt: skip
async def activate(world: TheWorld, caller: MaybeSubject, origin: TheOrigin, body: ActivationIn, response: Response) -> ActivationResult:
    """Take a seat by license key, by activation code, or as an assigned end user. A device that has a seat gets the same seat."""
    device = body.device.to_info() if body.device else None
    seat = await seats.activate(world, origin.ip, caller, credential=body.to_credential(), code=body.activation_code, device=device)
    response.status_code = 201 if seat.is_new else 200
    response.headers["Location"] = f"/v1/activations/{seat.row.id}"
    return ActivationResult.of(seat, world.clock.now())


@router.post(
    "/v1/activations/{activation_id}/heartbeat",
    summary="Send Heartbeat",
    responses=refuses(*LICENSE_REFUSALS, ActivationNotFound, SeatLimitReached),
)
async def heartbeat(world: TheWorld, caller: ActivationCaller, activation_id: UUID) -> ActivationResult:
    """Renew the lease, with the activation token or as the seat's user. After the lease has expired, this needs a free seat."""
    return ActivationResult.of(await leases.heartbeat(world, caller, activation_id), world.clock.now())


@router.delete(
    "/v1/activations/{activation_id}",
    summary="Release Seat",
    status_code=204,
    responses=refuses(ActivationNotFound, ScopeMissing, TooManyAttempts),
)
async def release(
    world: TheWorld, caller: VerifiedCaller, origin: TheOrigin, activation_id: UUID, body: SeatReleaseIn | None = None
) -> None:
    """Release a seat: with its activation token, as its user, as an operator, or with the license key if the policy is self-service."""
    owner = None if isinstance(caller, PendingLoginCaller) else caller
    await activations.release(world, origin.ip, owner, activation_id, body.license_key if body else None)


@router.get("/v1/activations", summary="List Seats", responses=refuses(ScopeMissing, LicenseNotFound))
async def list_activations(
    world: TheWorld,
    operator: Reads,
    paging: Paging,
    fingerprint: Annotated[Line | None, Query()] = None,
    license: Annotated[UUID | None, Query()] = None,
    user: Annotated[UUID | None, Query()] = None,
    live: Annotated[bool | None, Query()] = None,
) -> Page[ActivationOut]:
    """List seats, newest first. Released seats are omitted; `live=false` lists the seats that do not count, such as released ones."""
    filters = {"license_id": license, "fingerprint": fingerprint, "user_id": user}
    rows, cursor = await activations.list_activations(world, paging, **filters, live_only=live)  # type: ignore[arg-type]  # three of two kinds
    return Page(data=[ActivationOut.of(row) for row in rows], next_cursor=cursor)


@router.get("/v1/licenses/{license_id}/activations", summary="List Seats of License", responses=refuses(ScopeMissing, LicenseNotFound))
async def list_license_activations(
    world: TheWorld, operator: Reads, paging: Paging, license_id: UUID, live: Annotated[bool | None, Query()] = None
) -> Page[ActivationOut]:
    """List the seats of a license, newest first."""
    rows, cursor = await activations.list_activations(world, paging, license_id=license_id, live_only=live)
    return Page(data=[ActivationOut.of(row) for row in rows], next_cursor=cursor)


@router.post(
    "/v1/licenses/{license_id}/activation-codes",
    summary="Create Activation Codes",
    status_code=201,
    responses=refuses(ScopeMissing, LicenseNotFound, problems.LicenseRevoked),
)
async def create_codes(world: TheWorld, operator: Writes, license_id: UUID, body: ActivationCodesIn) -> CreatedActivationCodes:
    """Create activation codes. Store them: they are returned only in this response."""
    created = await codes.create_codes(world, operator.actor, license_id, **body.model_dump())
    terms = {"max_uses": body.max_uses, "email": body.email, "expires_at": body.expires_at}
    return CreatedActivationCodes(data=[CreatedActivationCode(id=code_id, code=code, **terms) for code_id, code in created])  # type: ignore[arg-type]  # as above


@router.get("/v1/licenses/{license_id}/activation-codes", summary="List Activation Codes", responses=refuses(ScopeMissing, LicenseNotFound))
async def list_codes(world: TheWorld, operator: Reads, paging: Paging, license_id: UUID) -> Page[ActivationCodeOut]:
    """List the activation codes of a license and their uses, without the codes themselves."""
    rows, cursor = await codes.list_codes(world, license_id, paging)
    return Page(data=[ActivationCodeOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.delete(
    "/v1/activation-codes/{code_id}",
    summary="Revoke Activation Code",
    status_code=204,
    responses=refuses(ScopeMissing, ActivationCodeInvalid),
)
async def revoke_code(world: TheWorld, operator: Writes, code_id: UUID) -> None:
    """Revoke an activation code. Seats that were taken with it stay."""
    await codes.revoke_code(world, operator.actor, code_id)
