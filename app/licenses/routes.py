"""`/v1/licenses`, `/v1/activation-codes`, `/v1/activations`"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from app.catalog.problems import CustomerNotFound, PolicyNotFound
from app.licenses import codes, seats, service
from app.licenses.problems import (
    ActivationCodeInvalid,
    ActivationCodeSpent,
    ActivationNotFound,
    DeviceRequired,
    LicenseDatesImpossible,
    LicenseExpired,
    LicenseExternalIdTaken,
    LicenseNotFound,
    LicenseNotStarted,
    LicenseRevoked,
    LicenseSuspended,
    SeatLimitReached,
    SeatsNotUsed,
    UserLimitReached,
    UserNotAssigned,
)
from app.licenses.rules import Asked
from app.licenses.schemas import (
    Activated,
    ActivationIn,
    ActivationOut,
    CodeMade,
    CodeOut,
    CodesIn,
    CodesMade,
    KeyIn,
    LicenseIn,
    LicenseIssued,
    LicenseOut,
    LicensePatch,
    ReasonIn,
    ReleaseIn,
    Validated,
    ValidateIn,
)
from app.users.problems import UserNotFound
from app.web.callers import LiveCaller, MaybeSubject, Operates, Operator, TheDevice, TheWorld, UnfinishedLogin
from app.web.paging import Window, window
from app.web.problems import ScopeMissing, SubjectTokenRequired
from app.web.routing import VERDICT, refuses
from app.web.routing import router as new_router
from app.web.shapes import ExternalId, Line, Page, Slug

router = new_router("licenses")
Reads = Annotated[Operator, Depends(Operates("licenses:read"))]
Writes = Annotated[Operator, Depends(Operates("licenses:write"))]
Wanted = Annotated[Window, Depends(window)]
STANDINGS = (LicenseRevoked, LicenseSuspended, LicenseNotStarted, LicenseExpired, UserNotAssigned)


@router.post("/v1/licenses/validate", openapi_extra=VERDICT, responses=refuses(SubjectTokenRequired))
async def validate(world: TheWorld, caller: MaybeSubject, body: ValidateIn) -> Validated:
    """May this key be used, here, now? A verdict, also when it is no; a pure read."""
    asked = Asked(body.device.fingerprint if body.device else None, body.features, caller is not None)
    found, verdict = await service.validate(world, body.license_key, body.product, asked, caller.id if caller else None)
    return Validated.of(found, verdict, world.clock.now(), body.nonce)


@router.post(
    "/v1/activations",
    status_code=201,
    responses={
        200: {"model": Activated, "description": "This device already held the seat"},
        **refuses(
            LicenseNotFound, ActivationCodeInvalid, *STANDINGS, DeviceRequired, SubjectTokenRequired,
            SeatLimitReached, SeatsNotUsed, UserLimitReached, ActivationCodeSpent,
        ),
    },
)  # fmt: skip
async def activate(world: TheWorld, caller: MaybeSubject, body: ActivationIn, response: Response) -> Activated:
    """Take a seat for a device, by license key or activation code. A device that holds one already costs nothing."""
    device = body.device.facts() if body.device else None
    held = await seats.activate(world, caller, key=body.license_key, code=body.activation_code, device=device)
    response.status_code = 201 if held.new else 200
    response.headers["Location"] = f"/v1/activations/{held.row.id}"
    return Activated.of(held, world.clock.now())


@router.post("/v1/activations/{activation_id}/heartbeat", responses=refuses(*STANDINGS, ActivationNotFound, SeatLimitReached))
async def heartbeat(world: TheWorld, device: TheDevice, activation_id: UUID) -> Activated:
    """Renew the lease. A device whose lease ran out takes its seat again if one is free."""
    return Activated.of(await seats.heartbeat(world, device, activation_id), world.clock.now())


@router.delete("/v1/activations/{activation_id}", status_code=204, responses=refuses(ActivationNotFound, ScopeMissing))
async def release(world: TheWorld, caller: LiveCaller, activation_id: UUID, body: ReleaseIn | None = None) -> None:
    """Give a seat back: the seat's token, its user, an operator, or the key's holder where the policy is self-service."""
    owner = None if isinstance(caller, UnfinishedLogin) else caller
    await seats.release(world, owner, activation_id, body.license_key if body else None)


@router.get("/v1/activations", responses=refuses(ScopeMissing, LicenseNotFound))
async def list_activations(
    world: TheWorld,
    by: Reads,
    wanted: Wanted,
    fingerprint: Annotated[Line | None, Query()] = None,
    license: Annotated[UUID | None, Query()] = None,
    user: Annotated[UUID | None, Query()] = None,
    live: Annotated[bool | None, Query()] = None,
) -> Page[ActivationOut]:
    """Which devices hold which licenses. Released seats are hidden; `live=false` asks for those that are not live."""
    rows, cursor = await seats.activations(world, wanted, license_id=license, fingerprint=fingerprint, user_id=user, live=live)
    return Page(data=[ActivationOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/licenses/{license_id}/activations", responses=refuses(ScopeMissing, LicenseNotFound))
async def list_license_activations(world: TheWorld, by: Reads, wanted: Wanted, license_id: UUID) -> Page[ActivationOut]:
    rows, cursor = await seats.activations(world, wanted, license_id=license_id, fingerprint=None, user_id=None, live=None)
    return Page(data=[ActivationOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.post(
    "/v1/licenses",
    status_code=201,
    responses=refuses(
        ScopeMissing, PolicyNotFound, CustomerNotFound, UserNotFound, UserLimitReached, LicenseExternalIdTaken, LicenseDatesImpossible
    ),
)
async def issue(world: TheWorld, by: Writes, body: LicenseIn, response: Response) -> LicenseIssued:
    """Issue a license. Its key is shown this once."""
    shown, key = await service.issue(world, by.actor, body.model_dump())
    response.headers["Location"] = f"/v1/licenses/{shown.row.id}"
    return LicenseIssued.shown(shown, world.clock.now(), key=key)


@router.get("/v1/licenses", responses=refuses(ScopeMissing))
async def list_licenses(
    world: TheWorld,
    by: Reads,
    wanted: Wanted,
    product: Annotated[Slug | None, Query()] = None,
    customer: Annotated[UUID | None, Query()] = None,
    user: Annotated[UUID | None, Query()] = None,
    key_last4: Annotated[str | None, Query(pattern=r"^[0-9A-Za-z]{4}$")] = None,
    external_id: Annotated[ExternalId | None, Query()] = None,
) -> Page[LicenseOut]:
    filters = {"product": product, "customer": customer, "user": user, "key_last4": key_last4, "external_id": external_id}
    shown, cursor = await service.licenses(world, wanted, filters)
    now = world.clock.now()
    return Page(data=[LicenseOut.shown(each, now) for each in shown], next_cursor=cursor)


@router.post("/v1/licenses/lookup", responses=refuses(ScopeMissing, LicenseNotFound))
async def lookup(world: TheWorld, by: Reads, body: KeyIn) -> LicenseOut:
    """Find a license by its full key, for support."""
    return LicenseOut.shown(await service.lookup(world, body.license_key), world.clock.now())


@router.get("/v1/licenses/{license_id}", responses=refuses(ScopeMissing, LicenseNotFound))
async def get_license(world: TheWorld, by: Reads, license_id: UUID) -> LicenseOut:
    return LicenseOut.shown(await service.license_(world, license_id), world.clock.now())


@router.patch("/v1/licenses/{license_id}", responses=refuses(ScopeMissing, LicenseNotFound, LicenseExternalIdTaken))
async def change_license(world: TheWorld, by: Writes, license_id: UUID, body: LicensePatch) -> LicenseOut:
    shown = await service.change(world, by.actor, license_id, body.model_dump(exclude_unset=True))
    return LicenseOut.shown(shown, world.clock.now())


async def _move(world: TheWorld, by: Operator, license_id: UUID, action: str, body: ReasonIn | None) -> LicenseOut:
    shown = await service.move(world, by.actor, license_id, action, body.reason if body else None)
    return LicenseOut.shown(shown, world.clock.now())


@router.post("/v1/licenses/{license_id}/suspend", responses=refuses(ScopeMissing, LicenseNotFound))
async def suspend(world: TheWorld, by: Writes, license_id: UUID, body: ReasonIn | None = None) -> LicenseOut:
    """Refuse every use until reinstated. The clock does not stop."""
    return await _move(world, by, license_id, "suspend", body)


@router.post("/v1/licenses/{license_id}/reinstate", responses=refuses(ScopeMissing, LicenseNotFound))
async def reinstate(world: TheWorld, by: Writes, license_id: UUID, body: ReasonIn | None = None) -> LicenseOut:
    return await _move(world, by, license_id, "reinstate", body)


@router.post("/v1/licenses/{license_id}/revoke", responses=refuses(ScopeMissing, LicenseNotFound))
async def revoke(world: TheWorld, by: Writes, license_id: UUID, body: ReasonIn | None = None) -> LicenseOut:
    """Refuse every use for ever."""
    return await _move(world, by, license_id, "revoke", body)


@router.put("/v1/licenses/{license_id}/users/{user_id}", responses=refuses(ScopeMissing, LicenseNotFound, UserNotFound, UserLimitReached))
async def add_user(world: TheWorld, by: Writes, license_id: UUID, user_id: UUID) -> LicenseOut:
    """Let an end user use the license without its key."""
    return LicenseOut.shown(await service.add_user(world, by.actor, license_id, user_id), world.clock.now())


@router.delete("/v1/licenses/{license_id}/users/{user_id}", status_code=204, responses=refuses(ScopeMissing, LicenseNotFound))
async def remove_user(world: TheWorld, by: Writes, license_id: UUID, user_id: UUID) -> None:
    """Take an end user off the license; that user's seats are released with it."""
    await service.remove_user(world, by.actor, license_id, user_id)


@router.post("/v1/licenses/{license_id}/activation-codes", status_code=201, responses=refuses(ScopeMissing, LicenseNotFound))
async def create_codes(world: TheWorld, by: Writes, license_id: UUID, body: CodesIn) -> CodesMade:
    """New activation codes, shown this once."""
    made = await codes.create(world, by.actor, license_id, **body.model_dump())
    return CodesMade(data=[CodeMade(id=code_id, code=code, max_uses=body.max_uses, expires_at=body.expires_at) for code_id, code in made])


@router.get("/v1/licenses/{license_id}/activation-codes", responses=refuses(ScopeMissing, LicenseNotFound))
async def list_codes(world: TheWorld, by: Reads, wanted: Wanted, license_id: UUID) -> Page[CodeOut]:
    rows, cursor = await codes.listed(world, license_id, wanted)
    return Page(data=[CodeOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.delete("/v1/activation-codes/{code_id}", status_code=204, responses=refuses(ScopeMissing, ActivationCodeInvalid))
async def revoke_code(world: TheWorld, by: Writes, code_id: UUID) -> None:
    """Kill a code. Seats that it took stay."""
    await codes.revoke(world, by.actor, code_id)
