"""List the licenses that are assigned to an end user."""

from collections.abc import Sequence

from sqlalchemy import select

from app.catalog.models import Policy, Product
from app.licenses import facts
from app.licenses.models import License, LicenseUser
from app.licenses.rules import LicenseFacts
from app.web.callers import EndUser
from app.web.paging import PageWindow, read_page
from app.world import World


async def list_licenses(world: World, user: EndUser, window: PageWindow, product: str | None) -> tuple[Sequence[LicenseFacts], str | None]:
    """List the user's licenses, newest first; where the seat limit is per user, each counts this user's seats."""
    assigned = (
        select(License.id)
        .join(LicenseUser, LicenseUser.license_id == License.id)
        .join(Policy, Policy.id == License.policy_id)
        .join(Product, Product.id == Policy.product_id)
        .where(LicenseUser.user_id == user.id)
    )
    if product is not None:
        assigned = assigned.where(Product.code == product)
    async with world.db.read() as tx:
        rows, cursor = await read_page(tx, assigned, License.id, window)
        parameters = {**facts.build_parameters(world.clock.now(), user_id=user.id), "license_ids": [row.id for row in rows]}
        licenses = {row.id: facts.build_facts(row) for row in await tx.execute(facts.BY_LICENSES, parameters)}
        return [licenses[row.id] for row in rows], cursor
