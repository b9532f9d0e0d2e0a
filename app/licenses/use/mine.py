"""What an end user sees of the licenses that are assigned to them."""

from collections.abc import Sequence

from sqlalchemy import select

from app.catalog.models import Policy, Product
from app.licenses import facts
from app.licenses.models import License, LicenseUser
from app.licenses.rules import LicenseFacts
from app.web.callers import EndUser
from app.web.paging import PageWindow, read_page
from app.world import World


async def licenses(world: World, me: EndUser, window: PageWindow, product: str | None) -> tuple[Sequence[LicenseFacts], str | None]:
    """Newest first, each with the seats of this user where every user has seats of their own."""
    assigned = (
        select(License.id)
        .join(LicenseUser, LicenseUser.license_id == License.id)
        .join(Policy, Policy.id == License.policy_id)
        .join(Product, Product.id == Policy.product_id)
        .where(LicenseUser.user_id == me.id)
    )
    if product is not None:
        assigned = assigned.where(Product.code == product)
    async with world.db.read() as tx:
        rows, cursor = await read_page(tx, assigned, License.id, window)
        parameters = {**facts.parameters(world.clock.now(), user_id=me.id), "license_ids": [row.id for row in rows]}
        found = {row.id: facts.from_row(row) for row in await tx.execute(facts.BY_LICENSES, parameters)}
        return [found[row.id] for row in rows], cursor
