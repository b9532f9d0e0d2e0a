"""Create, read and change products, policies and customers."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.base.problems import field_error
from app.catalog import rules
from app.catalog.models import Customer, Policy, Product
from app.catalog.problems import (
    CustomerNotFound,
    ExternalIdTaken,
    PolicyContradiction,
    PolicyNotFound,
    ProductCodeTaken,
    ProductNotFound,
    RequirementImpossible,
)
from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect
from app.events.service import Actor, record
from app.web.paging import PageWindow, read_page
from app.world import World

Values = dict[str, Any]

_products = select(*table(Product).columns)
_policies = select(*table(Policy).columns, Product.code.label("product")).join(Product, Product.id == Policy.product_id)
_customers = select(*table(Customer).columns)


def require_possible(requires: Sequence[str], seat_by: str | None, *, passkeys: bool) -> list[str]:
    """Return the requirements and their implied requirements. Raises RequirementImpossible if one can never be met."""
    required = rules.add_implied(requires)
    if (impossible := rules.find_impossible(required, seat_by, passkeys)) is not None:
        sentence = f"`{impossible}` can never be met with this configuration."
        raise RequirementImpossible(sentence, {"requirement": impossible, **field_error("/requires", RequirementImpossible.code, sentence)})
    return required


async def create_product(world: World, actor: Actor, values: Values) -> AnyRow:
    """Create a product. Raises RequirementImpossible, ProductCodeTaken."""
    values = {**values, "id": world.entropy.identifier(), "created_at": world.clock.now(), "rev": 0}
    values["requires"] = require_possible(values["requires"], None, passkeys=world.settings.passkeys_enabled)
    try:
        async with world.db.write() as tx:
            await tx.execute(insert(table(Product)).values(values))
            await record(tx, world, "product.created", actor, ("product", values["id"]), code=values["code"])
            return (await tx.execute(_products.where(Product.id == values["id"]))).one()
    except IntegrityError as error:
        if dialect.violates_unique(error, table(Product), "code"):
            raise ProductCodeTaken from error
        raise


async def get_product(world: World, code: str) -> AnyRow:
    """Return a product. Raises ProductNotFound."""
    async with world.db.query() as tx:
        return await _get_row(tx, _products.where(Product.code == code), ProductNotFound)


async def change_product(world: World, actor: Actor, code: str, changes: Values) -> AnyRow:
    """Change a product; its requirements must fit every policy. Raises ProductNotFound, RequirementImpossible."""
    if "requires" in changes:
        changes = {**changes, "requires": require_possible(changes["requires"], None, passkeys=world.settings.passkeys_enabled)}
    async with world.db.write() as tx:
        product = await _lock_product(tx, Product.code == code)
        if "requires" in changes:
            await _check_every_policy(tx, product.id, changes["requires"], passkeys=world.settings.passkeys_enabled)
        if changes:
            await tx.execute(update(table(Product)).where(Product.id == product.id).values(changes))
            await record(tx, world, "product.changed", actor, ("product", product.id), fields=sorted(changes))
        return await _get_row(tx, _products.where(Product.id == product.id), ProductNotFound)


async def _lock_product(tx: Transaction, condition: ColumnElement[bool]) -> AnyRow:
    """Lock a product by incrementing its `rev`, and return it. Raises ProductNotFound."""
    bump = update(Product).where(condition).values(rev=Product.rev + 1).returning(*table(Product).columns)
    row = (await tx.execute(bump)).one_or_none()
    if row is None:
        raise ProductNotFound
    return row


async def _check_every_policy(tx: Transaction, product_id: UUID, requires: list[str], *, passkeys: bool) -> None:
    """Check that the product's requirements can be met under every policy. Raises RequirementImpossible."""
    rows = await tx.execute(select(Policy.requires, Policy.seat_by).where(Policy.product_id == product_id))
    for row in rows:
        require_possible([*requires, *row.requires], row.seat_by, passkeys=passkeys)


async def list_products(world: World, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.query() as tx:
        return await read_page(tx, _products, Product.id, window)


async def create_policy(world: World, actor: Actor, values: Values) -> AnyRow:
    """Create a policy. Raises ProductNotFound, PolicyContradiction, RequirementImpossible."""
    async with world.db.write() as tx:
        owner = await _lock_product(tx, Product.code == values["product"])
        row = {**values, "id": world.entropy.identifier(), "created_at": world.clock.now(), "product_id": owner.id}
        del row["product"]
        row["requires"] = _check_policy(row, owner.requires, passkeys=world.settings.passkeys_enabled)
        await tx.execute(insert(table(Policy)).values(row))
        await record(tx, world, "policy.created", actor, ("policy", row["id"]), product=owner.code)
        return await _get_row(tx, _policies.where(Policy.id == row["id"]), PolicyNotFound)


def _check_policy(policy: Values, product_requires: Sequence[str], *, passkeys: bool) -> list[str]:
    """Check a policy; return its own and implied requirements. Raises PolicyContradiction, RequirementImpossible."""
    if (conflict := rules.find_contradiction(policy)) is not None:
        field, sentence = conflict
        raise PolicyContradiction(sentence, field_error(f"/{field}", PolicyContradiction.code, sentence))
    require_possible([*product_requires, *policy["requires"]], policy["seat_by"], passkeys=passkeys)
    return rules.add_implied(policy["requires"])


async def get_policy(world: World, policy_id: UUID) -> AnyRow:
    """Return a policy. Raises PolicyNotFound."""
    async with world.db.query() as tx:
        return await _get_row(tx, _policies.where(Policy.id == policy_id), PolicyNotFound)


async def change_policy(world: World, actor: Actor, policy_id: UUID, changes: Values) -> AnyRow:
    """Change a policy, with its product locked. Raises PolicyNotFound, PolicyContradiction, RequirementImpossible."""
    async with world.db.write() as tx:
        row = await _get_row(tx, _policies.where(Policy.id == policy_id), PolicyNotFound)
        owner = await _lock_product(tx, Product.id == row.product_id)
        row = await _get_row(tx, _policies.where(Policy.id == policy_id), PolicyNotFound)
        policy = {**row._mapping, **changes}
        changes = {**changes, "requires": _check_policy(policy, owner.requires, passkeys=world.settings.passkeys_enabled)}
        await tx.execute(update(table(Policy)).where(Policy.id == policy_id).values(changes))
        await record(tx, world, "policy.changed", actor, ("policy", policy_id), fields=sorted(changes))
        return await _get_row(tx, _policies.where(Policy.id == policy_id), PolicyNotFound)


async def list_policies(world: World, window: PageWindow, product_code: str | None) -> tuple[Sequence[AnyRow], str | None]:
    query = _policies if product_code is None else _policies.where(Product.code == product_code)
    async with world.db.query() as tx:
        return await read_page(tx, query, Policy.id, window)


async def create_customer(world: World, actor: Actor, values: Values) -> AnyRow:
    """Create a customer. Raises ExternalIdTaken."""
    values = {**values, "id": world.entropy.identifier(), "created_at": world.clock.now()}
    try:
        async with world.db.write() as tx:
            await tx.execute(insert(table(Customer)).values(values))
            await record(tx, world, "customer.created", actor, ("customer", values["id"]))
            return await _get_row(tx, _customers.where(Customer.id == values["id"]), CustomerNotFound)
    except IntegrityError as error:
        raise _translate_unique_violation(error) from error


async def get_customer(world: World, customer_id: UUID) -> AnyRow:
    """Return a customer. Raises CustomerNotFound."""
    async with world.db.query() as tx:
        return await _get_row(tx, _customers.where(Customer.id == customer_id), CustomerNotFound)


async def change_customer(world: World, actor: Actor, customer_id: UUID, changes: Values) -> AnyRow:
    """Change a customer. Raises CustomerNotFound, ExternalIdTaken."""
    try:
        async with world.db.write() as tx:
            await _get_row(tx, _customers.where(Customer.id == customer_id), CustomerNotFound)
            if changes:
                await tx.execute(update(table(Customer)).where(Customer.id == customer_id).values(changes))
                await record(tx, world, "customer.changed", actor, ("customer", customer_id), fields=sorted(changes))
            return await _get_row(tx, _customers.where(Customer.id == customer_id), CustomerNotFound)
    except IntegrityError as error:
        raise _translate_unique_violation(error) from error


def _translate_unique_violation(error: IntegrityError) -> Exception:
    return ExternalIdTaken() if dialect.violates_unique(error, table(Customer), "external_id") else error


async def list_customers(world: World, window: PageWindow, external_id: str | None) -> tuple[Sequence[AnyRow], str | None]:
    query = _customers if external_id is None else _customers.where(Customer.external_id == external_id)
    async with world.db.query() as tx:
        return await read_page(tx, query, Customer.id, window)


async def _get_row(tx: Transaction, statement: AnySelect, not_found: type[Exception]) -> AnyRow:
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        raise not_found
    return row
