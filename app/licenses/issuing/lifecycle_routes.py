"""`POST /v1/licenses/{id}/suspend|reinstate|revoke|renew|rotate-key|transfer|change-policy`"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.catalog.problems import CustomerNotFound, PolicyContradiction, PolicyNotFound, RequirementImpossible
from app.licenses import problems
from app.licenses.issuing import lifecycle
from app.licenses.issuing.lifecycle import OperatorAction
from app.licenses.issuing.schemas import IssuedLicense, LicenseOut, PolicyChangeIn, ReasonIn, RenewIn, TransferIn
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("licenses")
Writes = Annotated[Operator, Depends(RequireScope("licenses:write"))]
REFUSALS = (ScopeMissing, problems.LicenseNotFound, problems.LicenseRevoked)


def _build_action(operator: Operator, license_id: UUID, body: ReasonIn | None) -> OperatorAction:
    return OperatorAction(operator.actor, license_id, body.reason if body else None)


@router.post("/v1/licenses/{license_id}/suspend", summary="Suspend License", responses=refuses(*REFUSALS))
async def suspend(world: TheWorld, operator: Writes, license_id: UUID, body: ReasonIn | None = None) -> LicenseOut:
    """Suspend a license: every use is refused until it is reinstated. The expiry does not change."""
    return LicenseOut.from_details(await lifecycle.suspend(world, _build_action(operator, license_id, body)), world.clock.now())


@router.post("/v1/licenses/{license_id}/reinstate", summary="Reinstate License", responses=refuses(*REFUSALS))
async def reinstate(world: TheWorld, operator: Writes, license_id: UUID, body: ReasonIn | None = None) -> LicenseOut:
    """End the suspension of a license."""
    return LicenseOut.from_details(await lifecycle.reinstate(world, _build_action(operator, license_id, body)), world.clock.now())


@router.post("/v1/licenses/{license_id}/revoke", summary="Revoke License", responses=refuses(ScopeMissing, problems.LicenseNotFound))
async def revoke(world: TheWorld, operator: Writes, license_id: UUID, body: ReasonIn | None = None) -> LicenseOut:
    """Revoke a license permanently: every use is refused."""
    return LicenseOut.from_details(await lifecycle.revoke(world, _build_action(operator, license_id, body)), world.clock.now())


@router.post(
    "/v1/licenses/{license_id}/renew",
    summary="Renew License",
    responses=refuses(*REFUSALS, problems.LicenseClockNotStarted, problems.LicenseNotRenewable, problems.LicenseDatesImpossible),
)
async def renew(world: TheWorld, operator: Writes, license_id: UUID, body: RenewIn | None = None) -> LicenseOut:
    """Extend a license by one duration of its policy, from its expiry or, after the grace period, from now; or until `expires_at`."""
    until = body.expires_at if body else None
    return LicenseOut.from_details(await lifecycle.renew(world, _build_action(operator, license_id, body), until), world.clock.now())


@router.post("/v1/licenses/{license_id}/rotate-key", summary="Rotate License Key", responses=refuses(*REFUSALS))
async def rotate_key(world: TheWorld, operator: Writes, license_id: UUID, body: ReasonIn | None = None) -> IssuedLicense:
    """Replace the license key; the old one stops working at once. Store the new key: it is returned only in this response.

    With an `Idempotency-Key`, a retry returns the same key.
    """
    license, key = await lifecycle.rotate_key(world, _build_action(operator, license_id, body))
    return IssuedLicense.from_details(license, world.clock.now(), key=key)


@router.post("/v1/licenses/{license_id}/transfer", summary="Transfer License", responses=refuses(*REFUSALS, CustomerNotFound))
async def transfer(world: TheWorld, operator: Writes, license_id: UUID, body: TransferIn) -> LicenseOut:
    """Transfer the license to another customer, or to none. Its users, seats, usage and dates stay."""
    return LicenseOut.from_details(
        await lifecycle.transfer(world, _build_action(operator, license_id, body), body.customer_id), world.clock.now()
    )


@router.post(
    "/v1/licenses/{license_id}/change-policy", summary="Change License Policy",
    responses=refuses(
        *REFUSALS, PolicyNotFound, problems.PolicyOfAnotherProduct, PolicyContradiction, RequirementImpossible,
        problems.LicenseDatesImpossible,
    ),
)  # fmt: skip
async def change_policy(world: TheWorld, operator: Writes, license_id: UUID, body: PolicyChangeIn) -> LicenseOut:
    """Move the license to another policy of its product. If the new policy counts seats differently, all seats are released."""
    license = await lifecycle.change_policy(world, _build_action(operator, license_id, body), body.policy_id, body.expiry)
    return LicenseOut.from_details(license, world.clock.now())
