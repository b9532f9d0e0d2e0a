"""Read licenses as operators see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, select

from app.catalog.models import Policy, Product
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.licenses import facts, usage
from app.licenses.keys import digest_key
from app.licenses.models import License, LicenseUser
from app.licenses.problems import LicenseNotFound
from app.licenses.rules import LicenseFacts
from app.licenses.usage import MeterUsage
from app.world import World

LICENSES = (
    select(*table(License).columns, Policy.product_id, Product.code.label("product"))
    .join(Policy, Policy.id == License.policy_id)
    .join(Product, Product.id == Policy.product_id)
)
_license_by_id = LICENSES.where(License.id == bindparam("the_id"))


@dataclass(frozen=True)
class LicenseDetails:
    """A license as an operator sees it: its row, its facts, its assigned users, and its meters in their current periods."""

    row: AnyRow
    facts: LicenseFacts
    users: Sequence[UUID]
    usage: Mapping[str, MeterUsage]


async def get_license(world: World, license_id: UUID) -> LicenseDetails:
    """Read a license. Raises LicenseNotFound."""
    async with world.db.query() as tx:
        return await read_details(tx, world, license_id)


async def find_by_key(world: World, key: str) -> LicenseDetails:
    """Find the license with this key, of any product. Raises LicenseNotFound."""
    async with world.db.query() as tx:
        digest = digest_key(world.keys.lookup, key)
        license_id = await tx.scalar(select(License.id).where(License.key_hash == digest))
        if license_id is None:
            raise LicenseNotFound
        return await read_details(tx, world, license_id)


async def read_details(tx: Transaction, world: World, license_id: UUID) -> LicenseDetails:
    """Read a license in this transaction. Raises LicenseNotFound."""
    row = (await tx.execute(_license_by_id, {"the_id": license_id})).one_or_none()
    if row is None:
        raise LicenseNotFound
    return (await load_details(tx, world, [row]))[0]


async def read_many(tx: Transaction, world: World, ids: Sequence[UUID]) -> list[LicenseDetails]:
    """Read these licenses, in the order of the ids."""
    rows = {row.id: row for row in await tx.execute(LICENSES.where(License.id.in_(ids)))}
    return await load_details(tx, world, [rows[license_id] for license_id in ids])


async def load_details(tx: Transaction, world: World, rows: Sequence[AnyRow]) -> list[LicenseDetails]:
    """Load facts, users and usage for rows of `LICENSES`."""
    ids = [row.id for row in rows]
    now = world.clock.now()
    parameters = {**facts.build_parameters(now), "license_ids": ids}
    licenses = {row.id: facts.build_facts(row) for row in await tx.execute(facts.BY_LICENSES, parameters)}
    users: dict[UUID, list[UUID]] = {license_id: [] for license_id in ids}
    assignments = select(LicenseUser.license_id, LicenseUser.user_id).where(LicenseUser.license_id.in_(ids))
    for assignment in await tx.execute(assignments.order_by(LicenseUser.added_at)):
        users[assignment.license_id].append(assignment.user_id)
    meters = await usage.read_usage(tx, list(licenses.values()), now)
    return [LicenseDetails(row, licenses[row.id], users[row.id], meters[row.id]) for row in rows]
