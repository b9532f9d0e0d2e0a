"""`/v1/licenses`, for operators: issue, find and change licenses, and assign users."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from app.catalog.problems import CustomerNotFound, PolicyContradiction, PolicyNotFound, RequirementImpossible
from app.licenses import members, problems
from app.licenses.issuing import details, lifecycle, search, service
from app.licenses.issuing.schemas import IssuedLicense, IssuedLicenses, LicenseIn, LicenseKeyIn, LicenseOut, LicensePatch
from app.licenses.problems import LicenseNotFound, UserLimitReached
from app.licenses.schemas import LicenseStatus
from app.users.problems import UserErased, UserNotFound
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import ExternalId, InstantIn, Line, Page, Slug
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("licenses")
Reads = Annotated[Operator, Depends(RequireScope("licenses:read"))]
Writes = Annotated[Operator, Depends(RequireScope("licenses:write"))]
Paging = Annotated[PageWindow, Depends(page_window)]


@router.post(
    "/v1/licenses", summary="Issue Licenses",
    status_code=201,
    responses=refuses(
        ScopeMissing, PolicyNotFound, CustomerNotFound, UserNotFound, UserErased, UserLimitReached, problems.LicenseExternalIdTaken,
        problems.LicenseKeyTaken, problems.LicenseDatesImpossible, PolicyContradiction, RequirementImpossible,
    ),
)  # fmt: skip
async def issue(world: TheWorld, operator: Writes, body: LicenseIn, response: Response) -> IssuedLicense | IssuedLicenses:
    """Issue one license, or `count` licenses, all or none. Store the keys: they are returned only in this response."""
    licenses, keys = await service.issue_licenses(world, operator.actor, body.to_values())
    now = world.clock.now()
    issued = [IssuedLicense.from_details(license, now, key=key) for license, key in zip(licenses, keys, strict=True)]
    if body.count is not None:
        return IssuedLicenses(data=issued)
    response.headers["Location"] = f"/v1/licenses/{issued[0].id}"
    return issued[0]


@router.get("/v1/licenses", responses=refuses(ScopeMissing))
async def list_licenses(
    world: TheWorld,
    operator: Reads,
    paging: Paging,
    product: Annotated[Slug | None, Query()] = None,
    policy: Annotated[UUID | None, Query()] = None,
    customer: Annotated[UUID | None, Query()] = None,
    user: Annotated[UUID | None, Query()] = None,
    status: Annotated[LicenseStatus | None, Query()] = None,
    key_last4: Annotated[Line | None, Query(min_length=4, max_length=4)] = None,
    external_id: Annotated[ExternalId | None, Query()] = None,
    expires_before: Annotated[InstantIn | None, Query()] = None,
    q: Annotated[Line | None, Query(max_length=200)] = None,
) -> Page[LicenseOut]:
    """List licenses, newest first.

    `q` searches the external id, the names and addresses of the customer and the assigned users, and the end of the key.
    """
    filters = {
        "product": product, "policy": policy, "customer": customer, "user": user, "status": status, "key_last4": key_last4,
        "external_id": external_id, "expires_before": expires_before, "q": q,
    }  # fmt: skip
    licenses, cursor = await search.find_licenses(world, paging, filters)
    now = world.clock.now()
    return Page(data=[LicenseOut.from_details(license, now) for license in licenses], next_cursor=cursor)


@router.post("/v1/licenses/lookup", summary="Look Up License by Key", responses=refuses(ScopeMissing, LicenseNotFound))
async def lookup(world: TheWorld, operator: Reads, body: LicenseKeyIn) -> LicenseOut:
    """Find a license by its full key, for support staff."""
    return LicenseOut.from_details(await details.find_by_key(world, body.license_key), world.clock.now())


@router.get("/v1/licenses/{license_id}", responses=refuses(ScopeMissing, LicenseNotFound))
async def get_license(world: TheWorld, operator: Reads, license_id: UUID) -> LicenseOut:
    """Return a license, without its key."""
    return LicenseOut.from_details(await details.get_license(world, license_id), world.clock.now())


@router.patch(
    "/v1/licenses/{license_id}",
    responses=refuses(
        ScopeMissing, LicenseNotFound, problems.LicenseRevoked, problems.LicenseExternalIdTaken, problems.LicenseClockNotStarted,
        problems.LicenseDatesImpossible, PolicyContradiction, RequirementImpossible,
    ),
)  # fmt: skip
async def change_license(world: TheWorld, operator: Writes, license_id: UUID, body: LicensePatch) -> LicenseOut:
    """Change the expiry, the overrides, the external id or the metadata. Absent fields stay unchanged."""
    license = await service.change_license(world, operator.actor, license_id, body.model_dump(exclude_unset=True))
    return LicenseOut.from_details(license, world.clock.now())


@router.put(
    "/v1/licenses/{license_id}/users/{user_id}",
    summary="Add User to License",
    responses=refuses(ScopeMissing, LicenseNotFound, problems.LicenseRevoked, UserNotFound, UserErased, UserLimitReached),
)
async def add_user(world: TheWorld, operator: Writes, license_id: UUID, user_id: UUID) -> LicenseOut:
    """Assign an end user, who may then use the license without its key."""
    return LicenseOut.from_details(await lifecycle.add_user(world, operator.actor, license_id, user_id), world.clock.now())


@router.delete(
    "/v1/licenses/{license_id}/users/{user_id}",
    summary="Remove User from License",
    status_code=204,
    responses=refuses(ScopeMissing, LicenseNotFound),
)
async def remove_user(world: TheWorld, operator: Writes, license_id: UUID, user_id: UUID) -> None:
    """Remove an end user from the license and release that user's seats."""
    await members.remove(world, operator.actor, license_id, user_id)
