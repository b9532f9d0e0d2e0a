"""Declaring products, policies and customers, and changing them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.base.problems import at
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
from app.db.database import Session
from app.db.types import AnyRow, AnySelect
from app.events.service import Actor, record
from app.web.paging import Window, page
from app.world import World

Values = dict[str, Any]

_products = select(*table(Product).columns)
_policies = select(*table(Policy).columns, Product.code.label("product")).join(Product, Product.id == Policy.product_id)
_customers = select(*table(Customer).columns)


def possible(requires: Sequence[str], seat_by: str | None, *, passkeys: bool) -> list[str]:
    """The requirements, closed. Raises RequirementImpossible where nobody could ever meet one."""
    whole = rules.closed(requires)
    if (hopeless := rules.impossible(whole, seat_by, passkeys)) is not None:
        sentence = f"`{hopeless}` can never be met here."
        raise RequirementImpossible(sentence, {"requirement": hopeless, **at("/requires", RequirementImpossible.code, sentence)})
    return whole


async def create_product(world: World, by: Actor, values: Values) -> AnyRow:
    values = {**values, "id": world.entropy.identifier(), "created_at": world.clock.now(), "rev": 0}
    values["requires"] = possible(values["requires"], None, passkeys=world.settings.passkeys)
    try:
        async with world.db.write() as session:
            await session.execute(insert(table(Product)).values(values))
            await record(session, world, "product.created", by, ("product", values["id"]), code=values["code"])
            return (await session.execute(_products.where(Product.id == values["id"]))).one()
    except IntegrityError as error:
        if dialect.breaks(error, table(Product), "code"):
            raise ProductCodeTaken from error
        raise


async def product(world: World, code: str) -> AnyRow:
    async with world.db.lookup() as session:
        return await _one(session, _products.where(Product.code == code), ProductNotFound)


async def change_product(world: World, by: Actor, code: str, changes: Values) -> AnyRow:
    if "requires" in changes:
        changes = {**changes, "requires": possible(changes["requires"], None, passkeys=world.settings.passkeys)}
    async with world.db.write() as session:
        found = await _locked(session, Product.code == code)
        if "requires" in changes:
            await _every_policy_possible(session, found.id, changes["requires"], passkeys=world.settings.passkeys)
        if changes:
            await session.execute(update(table(Product)).where(Product.id == found.id).values(changes))
            await record(session, world, "product.changed", by, ("product", found.id), fields=sorted(changes))
        return await _one(session, _products.where(Product.id == found.id), ProductNotFound)


async def _locked(session: Session, named: ColumnElement[bool]) -> AnyRow:
    """The product, locked for this transaction by the bump of its `rev`."""
    bumped = update(Product).where(named).values(rev=Product.rev + 1).returning(*table(Product).columns)
    row = (await session.execute(bumped)).one_or_none()
    if row is None:
        raise ProductNotFound
    return row


async def _every_policy_possible(session: Session, product_id: UUID, requires: list[str], *, passkeys: bool) -> None:
    rows = await session.execute(select(Policy.requires, Policy.seat_by).where(Policy.product_id == product_id))
    for row in rows:
        possible([*requires, *row.requires], row.seat_by, passkeys=passkeys)


async def products(world: World, window: Window) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.lookup() as session:
        return await page(session, _products, Product.id, window)


async def create_policy(world: World, by: Actor, values: Values) -> AnyRow:
    async with world.db.write() as session:
        owner = await _locked(session, Product.code == values["product"])
        row = {**values, "id": world.entropy.identifier(), "created_at": world.clock.now(), "product_id": owner.id}
        del row["product"]
        row["requires"] = _coherent(row, owner.requires, passkeys=world.settings.passkeys)
        await session.execute(insert(table(Policy)).values(row))
        await record(session, world, "policy.created", by, ("policy", row["id"]), product=owner.code)
        return await _one(session, _policies.where(Policy.id == row["id"]), PolicyNotFound)


def _coherent(policy: Values, product_requires: Sequence[str], *, passkeys: bool) -> list[str]:
    """The policy's own requirements, closed. Raises PolicyContradiction or RequirementImpossible."""
    if (found := rules.contradiction(policy)) is not None:
        field, sentence = found
        raise PolicyContradiction(sentence, at(f"/{field}", PolicyContradiction.code, sentence))
    possible([*product_requires, *policy["requires"]], policy["seat_by"], passkeys=passkeys)
    return rules.closed(policy["requires"])


async def policy(world: World, policy_id: UUID) -> AnyRow:
    async with world.db.lookup() as session:
        return await _one(session, _policies.where(Policy.id == policy_id), PolicyNotFound)


async def change_policy(world: World, by: Actor, policy_id: UUID, changes: Values) -> AnyRow:
    async with world.db.write() as session:
        found = await _one(session, _policies.where(Policy.id == policy_id), PolicyNotFound)
        owner = await _locked(session, Product.id == found.product_id)
        found = await _one(session, _policies.where(Policy.id == policy_id), PolicyNotFound)
        whole = {**found._mapping, **changes}
        changes = {**changes, "requires": _coherent(whole, owner.requires, passkeys=world.settings.passkeys)}
        await session.execute(update(table(Policy)).where(Policy.id == policy_id).values(changes))
        await record(session, world, "policy.changed", by, ("policy", policy_id), fields=sorted(changes))
        return await _one(session, _policies.where(Policy.id == policy_id), PolicyNotFound)


async def policies(world: World, window: Window, product_code: str | None) -> tuple[Sequence[AnyRow], str | None]:
    wanted = _policies if product_code is None else _policies.where(Product.code == product_code)
    async with world.db.lookup() as session:
        return await page(session, wanted, Policy.id, window)


async def create_customer(world: World, by: Actor, values: Values) -> AnyRow:
    values = {**values, "id": world.entropy.identifier(), "created_at": world.clock.now()}
    try:
        async with world.db.write() as session:
            await session.execute(insert(table(Customer)).values(values))
            await record(session, world, "customer.created", by, ("customer", values["id"]))
            return await _one(session, _customers.where(Customer.id == values["id"]), CustomerNotFound)
    except IntegrityError as error:
        raise _named(error) from error


async def customer(world: World, customer_id: UUID) -> AnyRow:
    async with world.db.lookup() as session:
        return await _one(session, _customers.where(Customer.id == customer_id), CustomerNotFound)


async def change_customer(world: World, by: Actor, customer_id: UUID, changes: Values) -> AnyRow:
    try:
        async with world.db.write() as session:
            await _one(session, _customers.where(Customer.id == customer_id), CustomerNotFound)
            if changes:
                await session.execute(update(table(Customer)).where(Customer.id == customer_id).values(changes))
                await record(session, world, "customer.changed", by, ("customer", customer_id), fields=sorted(changes))
            return await _one(session, _customers.where(Customer.id == customer_id), CustomerNotFound)
    except IntegrityError as error:
        raise _named(error) from error


def _named(error: IntegrityError) -> Exception:
    return ExternalIdTaken() if dialect.breaks(error, table(Customer), "external_id") else error


async def customers(world: World, window: Window, external_id: str | None) -> tuple[Sequence[AnyRow], str | None]:
    wanted = _customers if external_id is None else _customers.where(Customer.external_id == external_id)
    async with world.db.lookup() as session:
        return await page(session, wanted, Customer.id, window)


async def _one(session: Session, statement: AnySelect, missing: type[Exception]) -> AnyRow:
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise missing
    return row
