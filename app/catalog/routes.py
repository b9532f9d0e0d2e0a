"""`/v1/products`, `/v1/policies`, `/v1/customers`."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from app.catalog import service
from app.catalog.problems import (
    CustomerNotFound,
    ExternalIdTaken,
    PolicyContradiction,
    PolicyNotFound,
    ProductCodeTaken,
    ProductNotFound,
    RequirementImpossible,
)
from app.catalog.schemas import (
    CustomerIn,
    CustomerOut,
    CustomerPatch,
    PolicyIn,
    PolicyOut,
    PolicyPatch,
    ProductIn,
    ProductOut,
    ProductPatch,
)
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import ExternalId, Page, Slug
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("catalog")
Reads = Annotated[Operator, Depends(RequireScope("catalog:read"))]
Writes = Annotated[Operator, Depends(RequireScope("catalog:write"))]
Paging = Annotated[PageWindow, Depends(page_window)]


@router.post("/v1/products", status_code=201, responses=refuses(ScopeMissing, ProductCodeTaken, RequirementImpossible))
async def create_product(world: TheWorld, operator: Writes, body: ProductIn, response: Response) -> ProductOut:
    """Create a product. `requires` is any combination of the six requirements; requirements that they imply are added."""
    row = await service.create_product(world, operator.actor, body.model_dump())
    response.headers["Location"] = f"/v1/products/{row.code}"
    return ProductOut.model_validate(row)


@router.get("/v1/products", responses=refuses(ScopeMissing))
async def list_products(world: TheWorld, operator: Reads, paging: Paging) -> Page[ProductOut]:
    """List products, newest first."""
    rows, cursor = await service.list_products(world, paging)
    return Page(data=[ProductOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/products/{code}", responses=refuses(ScopeMissing, ProductNotFound))
async def get_product(world: TheWorld, operator: Reads, code: Slug) -> ProductOut:
    """Return a product by its code."""
    return ProductOut.model_validate(await service.get_product(world, code))


@router.patch("/v1/products/{code}", responses=refuses(ScopeMissing, ProductNotFound, RequirementImpossible))
async def change_product(world: TheWorld, operator: Writes, code: Slug, body: ProductPatch) -> ProductOut:
    """Change a product. Absent fields stay unchanged; new requirements apply at once."""
    return ProductOut.model_validate(await service.change_product(world, operator.actor, code, body.model_dump(exclude_unset=True)))


@router.post("/v1/policies", status_code=201, responses=refuses(ScopeMissing, ProductNotFound, RequirementImpossible, PolicyContradiction))
async def create_policy(world: TheWorld, operator: Writes, body: PolicyIn, response: Response) -> PolicyOut:
    """Create a policy: the rules that licenses are issued under."""
    row = await service.create_policy(world, operator.actor, body.model_dump())
    response.headers["Location"] = f"/v1/policies/{row.id}"
    return PolicyOut.model_validate(row)


@router.get("/v1/policies", responses=refuses(ScopeMissing))
async def list_policies(
    world: TheWorld, operator: Reads, paging: Paging, product: Annotated[Slug | None, Query()] = None
) -> Page[PolicyOut]:
    """List policies, newest first; with `product`, only those of this product."""
    rows, cursor = await service.list_policies(world, paging, product)
    return Page(data=[PolicyOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/policies/{policy_id}", responses=refuses(ScopeMissing, PolicyNotFound))
async def get_policy(world: TheWorld, operator: Reads, policy_id: UUID) -> PolicyOut:
    """Return a policy."""
    return PolicyOut.model_validate(await service.get_policy(world, policy_id))


@router.patch("/v1/policies/{policy_id}", responses=refuses(ScopeMissing, PolicyNotFound, RequirementImpossible, PolicyContradiction))
async def change_policy(world: TheWorld, operator: Writes, policy_id: UUID, body: PolicyPatch) -> PolicyOut:
    """Change a policy. Absent fields stay unchanged; dates of issued licenses never change."""
    return PolicyOut.model_validate(await service.change_policy(world, operator.actor, policy_id, body.model_dump(exclude_unset=True)))


@router.post("/v1/customers", status_code=201, responses=refuses(ScopeMissing, ExternalIdTaken))
async def create_customer(world: TheWorld, operator: Writes, body: CustomerIn, response: Response) -> CustomerOut:
    """Create a customer, the buyer of licenses. A customer need not be an end user."""
    row = await service.create_customer(world, operator.actor, body.model_dump())
    response.headers["Location"] = f"/v1/customers/{row.id}"
    return CustomerOut.model_validate(row)


@router.get("/v1/customers", responses=refuses(ScopeMissing))
async def list_customers(
    world: TheWorld, operator: Reads, paging: Paging, external_id: Annotated[ExternalId | None, Query()] = None
) -> Page[CustomerOut]:
    """List customers, newest first; with `external_id`, only the customer with this id."""
    rows, cursor = await service.list_customers(world, paging, external_id)
    return Page(data=[CustomerOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/customers/{customer_id}", responses=refuses(ScopeMissing, CustomerNotFound))
async def get_customer(world: TheWorld, operator: Reads, customer_id: UUID) -> CustomerOut:
    """Return a customer."""
    return CustomerOut.model_validate(await service.get_customer(world, customer_id))


@router.patch("/v1/customers/{customer_id}", responses=refuses(ScopeMissing, CustomerNotFound, ExternalIdTaken))
async def change_customer(world: TheWorld, operator: Writes, customer_id: UUID, body: CustomerPatch) -> CustomerOut:
    """Change a customer. Absent fields stay unchanged."""
    return CustomerOut.model_validate(
        await service.change_customer(world, operator.actor, customer_id, body.model_dump(exclude_unset=True))
    )
