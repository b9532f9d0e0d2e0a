"""`POST /v1/licenses/{id}/suspend|reinstate|revoke|renew|rotate-key|transfer|change-policy`"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.catalog.problems import CustomerNotFound, PolicyContradiction, PolicyNotFound, RequirementImpossible
from app.licenses.issuing import lifecycle
from app.licenses.issuing.lifecycle import OperatorAction
from app.licenses.issuing.schemas import IssuedLicense, LicenseOut, PolicyChangeIn, ReasonIn, RenewIn, TransferIn
from app.licenses.problems import (
    LicenseClockNotStarted,
    LicenseDatesImpossible,
    LicenseNotFound,
    LicenseNotRenewable,
    LicenseRevoked,
    PolicyOfAnotherProduct,
)
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("licenses")
Writes = Annotated[Operator, Depends(RequireScope("licenses:write"))]
REFUSED = (ScopeMissing, LicenseNotFound, LicenseRevoked)


def _deed(operator: Operator, license_id: UUID, body: ReasonIn | None) -> OperatorAction:
    return OperatorAction(operator.actor, license_id, body.reason if body else None)


@router.post("/v1/licenses/{license_id}/suspend", responses=refuses(*REFUSED))
async def suspend(world: TheWorld, operator: Writes, license_id: UUID, body: ReasonIn | None = None) -> LicenseOut:
    """Refuse every use until reinstated. The clock does not stop."""
    return LicenseOut.shown(await lifecycle.suspend(world, _deed(operator, license_id, body)), world.clock.now())


@router.post("/v1/licenses/{license_id}/reinstate", responses=refuses(*REFUSED))
async def reinstate(world: TheWorld, operator: Writes, license_id: UUID, body: ReasonIn | None = None) -> LicenseOut:
    """Take a suspension back."""
    return LicenseOut.shown(await lifecycle.reinstate(world, _deed(operator, license_id, body)), world.clock.now())


@router.post("/v1/licenses/{license_id}/revoke", responses=refuses(ScopeMissing, LicenseNotFound))
async def revoke(world: TheWorld, operator: Writes, license_id: UUID, body: ReasonIn | None = None) -> LicenseOut:
    """Refuse every use for ever."""
    return LicenseOut.shown(await lifecycle.revoke(world, _deed(operator, license_id, body)), world.clock.now())


@router.post(
    "/v1/licenses/{license_id}/renew",
    responses=refuses(*REFUSED, LicenseClockNotStarted, LicenseNotRenewable, LicenseDatesImpossible),
)
async def renew(world: TheWorld, operator: Writes, license_id: UUID, body: RenewIn | None = None) -> LicenseOut:
    """One more duration of the policy, from expiry, or from now if the license has run out; or until `expires_at`."""
    until = body.expires_at if body else None
    return LicenseOut.shown(await lifecycle.renew(world, _deed(operator, license_id, body), until), world.clock.now())


@router.post("/v1/licenses/{license_id}/rotate-key", responses=refuses(*REFUSED))
async def rotate_key(world: TheWorld, operator: Writes, license_id: UUID, body: ReasonIn | None = None) -> IssuedLicense:
    """A new key, shown this once; the old one dies at once. Send an `Idempotency-Key`, and a retry answers with the same key."""
    shown, key = await lifecycle.rotate_key(world, _deed(operator, license_id, body))
    return IssuedLicense.shown(shown, world.clock.now(), key=key)


@router.post("/v1/licenses/{license_id}/transfer", responses=refuses(*REFUSED, CustomerNotFound))
async def transfer(world: TheWorld, operator: Writes, license_id: UUID, body: TransferIn) -> LicenseOut:
    """Another customer owns the license. Its users, seats, usage and dates stay."""
    return LicenseOut.shown(await lifecycle.transfer(world, _deed(operator, license_id, body), body.customer_id), world.clock.now())


@router.post(
    "/v1/licenses/{license_id}/change-policy",
    responses=refuses(*REFUSED, PolicyNotFound, PolicyOfAnotherProduct, PolicyContradiction, RequirementImpossible, LicenseDatesImpossible),
)
async def change_policy(world: TheWorld, operator: Writes, license_id: UUID, body: PolicyChangeIn) -> LicenseOut:
    """Put the license under another policy of its product. Seats of another kind are released with the change."""
    shown = await lifecycle.change_policy(world, _deed(operator, license_id, body), body.policy_id, body.expiry)
    return LicenseOut.shown(shown, world.clock.now())
