"""`/v1/activations`, `/v1/licenses/{id}/activations`, `/v1/activation-codes`, `/v1/licenses/{id}/activation-codes`"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from app.licenses.problems import (
    LICENSE_REFUSALS,
    ActivationCodeBound,
    ActivationCodeInvalid,
    ActivationCodeSpent,
    ActivationNotFound,
    DeviceRequired,
    LicenseDatesImpossible,
    LicenseNotFound,
    LicenseRevoked,
    LoginRequired,
    SeatLimitReached,
    SeatsNotUsed,
    TrialUsed,
    UserLimitReached,
)
from app.licenses.seats import activations, codes
from app.licenses.seats import service as seats
from app.licenses.seats.schemas import ActivationIn, ActivationOut, ActivationResult, CodeOut, CodesIn, CreatedCode, CreatedCodes, ReleaseIn
from app.web.callers import ActivationCaller, MaybeSubject, Operator, PendingLoginCaller, RequireScope, TheOrigin, TheWorld, VerifiedCaller
from app.web.fields import Line, Page
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing, SubjectTokenRequired, TooManyAttempts
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("licenses")
Reads = Annotated[Operator, Depends(RequireScope("licenses:read"))]
Writes = Annotated[Operator, Depends(RequireScope("licenses:write"))]
Wanted = Annotated[PageWindow, Depends(page_window)]


@router.post(
    "/v1/activations",
    status_code=201,
    responses={
        200: {"model": ActivationResult, "description": "This device already held the seat"},
        **refuses(
            LoginRequired, LicenseNotFound, ActivationCodeInvalid, *LICENSE_REFUSALS, DeviceRequired, ActivationCodeBound,
            SubjectTokenRequired, SeatLimitReached, SeatsNotUsed, TrialUsed, UserLimitReached,
            ActivationCodeSpent, LicenseDatesImpossible, TooManyAttempts,
        ),
    },
)  # fmt: skip
async def activate(world: TheWorld, caller: MaybeSubject, origin: TheOrigin, body: ActivationIn, response: Response) -> ActivationResult:
    """Take a seat, by license key, by activation code, or as an assigned end user. A device that holds one costs nothing."""
    device = body.device.facts() if body.device else None
    held = await seats.activate(world, origin.ip, caller, credential=body.credential(), code=body.activation_code, device=device)
    response.status_code = 201 if held.new else 200
    response.headers["Location"] = f"/v1/activations/{held.row.id}"
    return ActivationResult.of(held, world.clock.now())


@router.post("/v1/activations/{activation_id}/heartbeat", responses=refuses(*LICENSE_REFUSALS, ActivationNotFound, SeatLimitReached))
async def heartbeat(world: TheWorld, by: ActivationCaller, activation_id: UUID) -> ActivationResult:
    """Renew the lease, by the seat's token or as its user. If the lease ran out, the seat is taken again if one is free."""
    return ActivationResult.of(await seats.heartbeat(world, by, activation_id), world.clock.now())


@router.delete("/v1/activations/{activation_id}", status_code=204, responses=refuses(ActivationNotFound, ScopeMissing, TooManyAttempts))
async def release(world: TheWorld, caller: VerifiedCaller, origin: TheOrigin, activation_id: UUID, body: ReleaseIn | None = None) -> None:
    """Give a seat back: the seat's token, its user, an operator, or the key's holder where the policy is self-service."""
    owner = None if isinstance(caller, PendingLoginCaller) else caller
    await activations.release(world, origin.ip, owner, activation_id, body.license_key if body else None)


@router.get("/v1/activations", responses=refuses(ScopeMissing, LicenseNotFound))
async def list_activations(
    world: TheWorld,
    operator: Reads,
    wanted: Wanted,
    fingerprint: Annotated[Line | None, Query()] = None,
    license: Annotated[UUID | None, Query()] = None,
    user: Annotated[UUID | None, Query()] = None,
    live: Annotated[bool | None, Query()] = None,
) -> Page[ActivationOut]:
    """Which devices hold which licenses. Released seats are hidden; `live=false` asks for those that are not live."""
    asked = {"license_id": license, "fingerprint": fingerprint, "user_id": user}
    rows, cursor = await activations.list_activations(world, wanted, **asked, live_only=live)  # type: ignore[arg-type]  # three of two kinds
    return Page(data=[ActivationOut.seat(row) for row in rows], next_cursor=cursor)


@router.get("/v1/licenses/{license_id}/activations", responses=refuses(ScopeMissing, LicenseNotFound))
async def list_license_activations(
    world: TheWorld, operator: Reads, wanted: Wanted, license_id: UUID, live: Annotated[bool | None, Query()] = None
) -> Page[ActivationOut]:
    """Which devices hold this license."""
    rows, cursor = await activations.list_activations(world, wanted, license_id=license_id, live_only=live)
    return Page(data=[ActivationOut.seat(row) for row in rows], next_cursor=cursor)


@router.post(
    "/v1/licenses/{license_id}/activation-codes", status_code=201, responses=refuses(ScopeMissing, LicenseNotFound, LicenseRevoked)
)
async def create_codes(world: TheWorld, operator: Writes, license_id: UUID, body: CodesIn) -> CreatedCodes:
    """New activation codes, shown this once."""
    made = await codes.create_codes(world, operator.actor, license_id, **body.model_dump())
    more = {"max_uses": body.max_uses, "email": body.email, "expires_at": body.expires_at}
    return CreatedCodes(data=[CreatedCode(id=code_id, code=code, **more) for code_id, code in made])  # type: ignore[arg-type]  # as above


@router.get("/v1/licenses/{license_id}/activation-codes", responses=refuses(ScopeMissing, LicenseNotFound))
async def list_codes(world: TheWorld, operator: Reads, wanted: Wanted, license_id: UUID) -> Page[CodeOut]:
    """The codes of a license and how much they are used; never the codes themselves."""
    rows, cursor = await codes.list_codes(world, license_id, wanted)
    return Page(data=[CodeOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.delete("/v1/activation-codes/{code_id}", status_code=204, responses=refuses(ScopeMissing, ActivationCodeInvalid))
async def revoke_code(world: TheWorld, operator: Writes, code_id: UUID) -> None:
    """Kill a code. Seats that it took stay."""
    await codes.revoke_code(world, operator.actor, code_id)
