"""Issuing, showing and changing licenses (operators), and checking one (applications)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.base.durations import Duration
from app.base.problems import field_error
from app.catalog import rules as catalog
from app.catalog.models import Customer, Policy, Product, Starts
from app.catalog.problems import CustomerNotFound, PolicyContradiction, PolicyNotFound
from app.catalog.service import require_possible
from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.licenses import facts, guess_limits, locks, members, rules, usage
from app.licenses.keys import NewSecret, digest_key, generate_key, import_vendor_key, key_prefix
from app.licenses.models import License, LicenseUser
from app.licenses.problems import (
    LicenseClockNotStarted,
    LicenseDatesImpossible,
    LicenseExternalIdTaken,
    LicenseKeyTaken,
    LicenseNotFound,
    LicenseRevoked,
)
from app.licenses.rules import LicenseFacts, UseRequest, Verdict
from app.licenses.usage import MeterUsage
from app.observability.counters import decision_counter
from app.world import World

Values = dict[str, Any]
_licenses = table(License)
LICENSE_ROWS = (
    select(*_licenses.columns, Policy.product_id, Product.code.label("product"))
    .join(Policy, Policy.id == License.policy_id)
    .join(Product, Product.id == Policy.product_id)
)
_one = LICENSE_ROWS.where(License.id == bindparam("the_id"))
_policy = (
    select(*table(Policy).columns, Product.code.label("product"), Product.requires.label("product_requires"))
    .join(Product, Product.id == Policy.product_id)
    .where(Policy.id == bindparam("the_id"))
)


@dataclass(frozen=True)
class LicenseDetails:
    """A license as an operator sees it: its row, its standing, its assigned users, and its meters in their current periods."""

    row: AnyRow
    facts: LicenseFacts
    users: Sequence[UUID]
    usage: Mapping[str, MeterUsage]


async def read_policy(tx: Transaction, policy_id: UUID | None) -> AnyRow:
    """The policy with its product's `product` code and `product_requires`. Raises PolicyNotFound."""
    row = (await tx.execute(_policy, {"the_id": policy_id})).one_or_none()
    if row is None:
        raise PolicyNotFound
    return row


def check_overrides(policy: AnyRow, overrides: Mapping[str, Any], *, passkeys: bool) -> None:
    """Refuse overrides that contradict the policy. Raises PolicyContradiction, RequirementImpossible."""
    if (found := catalog.find_contradiction({**policy._mapping, **overrides})) is not None:
        field, sentence = found
        raise PolicyContradiction(sentence, field_error(f"/overrides/{field}", PolicyContradiction.code, sentence))
    whole = [*policy.product_requires, *policy.requires, *overrides.get("requires", ())]
    require_possible(whole, policy.seat_by, passkeys=passkeys)


async def issue_licenses(world: World, actor: Actor, values: Values) -> tuple[list[LicenseDetails], list[str]]:
    """New licenses and their keys, shown this once; all or none. Usable when this returns (licensing R51).

    `count` of them (None: one), or one with the vendor's own `key`. Their dates are frozen here, unless the first activation
    starts the clock.
    """
    values = dict(values)
    users, key, count = values.pop("users"), values.pop("key"), values.pop("count") or 1
    lookup = world.keys.lookup
    try:
        async with world.db.write() as tx:
            policy = await read_policy(tx, values["policy_id"])
            check_overrides(policy, values["overrides"], passkeys=world.settings.passkeys_enabled)
            if values["customer_id"] is not None and not await _customer_there(tx, values["customer_id"]):
                raise CustomerNotFound
            prefix = key_prefix(policy.product)
            minted = [import_vendor_key(lookup, key) if key else generate_key(world.entropy, lookup, prefix) for _ in range(count)]
            terms = {**values, **compute_dates(values, policy, world.clock.now()), "duration": policy.duration, "grace": policy.grace}
            rows = [{**terms, **_new(world, each)} for each in minted]
            await tx.execute(insert(_licenses), rows)
            for row in rows:
                await record(tx, world, "license.issued", actor, ("license", row["id"]), policy=str(policy.id))
                for user_id in dict.fromkeys(users):
                    max_users = values["overrides"].get("max_users", policy.max_users)
                    await members.assign(tx, world, actor, row["id"], user_id, max_users)
            return await _in_order(tx, world, [row["id"] for row in rows]), [each.text for each in minted]
    except IntegrityError as error:
        raise _named(error) from error


def _new(world: World, minted: NewSecret) -> Values:
    return {
        "id": world.entropy.identifier(),
        "key_hash": minted.digest,
        "key_last4": minted.last4,
        "rev": 0,
        "created_at": world.clock.now(),
    }


def compute_dates(given: Values, policy: AnyRow, now: datetime, *, waits: bool | None = None) -> Values:
    """`starts_at`, `expires_at` and `grace_until` by the policy; all null while the clock waits for the first activation.

    `waits` None: it does if the policy says so and no date was given. Raises LicenseDatesImpossible.
    """
    if waits is None:
        waits = policy.starts == Starts.FIRST_ACTIVATION and given["starts_at"] is None and given["expires_at"] is None
    starts = given["starts_at"] or now
    try:
        expires = given["expires_at"] or (Duration.parse(policy.duration).after(starts) if policy.duration else None)
        grace = Duration.parse(policy.grace).after(expires) if policy.grace and expires else None
    except OverflowError as beyond:
        raise LicenseDatesImpossible from beyond
    if expires is not None and expires <= starts:
        raise LicenseDatesImpossible
    if waits:
        return {"starts_at": None, "expires_at": None, "grace_until": None}
    return {"starts_at": starts, "expires_at": expires, "grace_until": grace}


def _named(error: IntegrityError) -> Exception:
    if dialect.violates_unique(error, _licenses, "key_hash"):
        return LicenseKeyTaken()
    return LicenseExternalIdTaken() if dialect.violates_unique(error, _licenses, "external_id") else error


async def _customer_there(tx: Transaction, customer_id: UUID) -> bool:
    return await tx.scalar(select(Customer.id).where(Customer.id == customer_id)) is not None


async def read_details(tx: Transaction, world: World, license_id: UUID) -> LicenseDetails:
    row = (await tx.execute(_one, {"the_id": license_id})).one_or_none()
    if row is None:
        raise LicenseNotFound
    return (await load_details(tx, world, [row]))[0]


async def _in_order(tx: Transaction, world: World, ids: Sequence[UUID]) -> list[LicenseDetails]:
    rows = {row.id: row for row in await tx.execute(LICENSE_ROWS.where(License.id.in_(ids)))}
    return await load_details(tx, world, [rows[license_id] for license_id in ids])


async def load_details(tx: Transaction, world: World, rows: Sequence[AnyRow]) -> list[LicenseDetails]:
    ids = [row.id for row in rows]
    now = world.clock.now()
    found = await tx.execute(facts.BY_LICENSES, {**facts.parameters(now), "license_ids": ids})
    standings = {row.id: facts.from_row(row) for row in found}
    users: dict[UUID, list[UUID]] = {license_id: [] for license_id in ids}
    listed = select(LicenseUser.license_id, LicenseUser.user_id).where(LicenseUser.license_id.in_(ids))
    for pair in await tx.execute(listed.order_by(LicenseUser.added_at)):
        users[pair.license_id].append(pair.user_id)
    used = await usage.of(tx, list(standings.values()), now)
    return [LicenseDetails(row, standings[row.id], users[row.id], used[row.id]) for row in rows]


async def get_license(world: World, license_id: UUID) -> LicenseDetails:
    async with world.db.query() as tx:
        return await read_details(tx, world, license_id)


async def find_by_key(world: World, key: str) -> LicenseDetails:
    """The license with this key, of whatever product. Raises LicenseNotFound."""
    async with world.db.query() as tx:
        digest = digest_key(world.keys.lookup, key)
        license_id = await tx.scalar(select(License.id).where(License.key_hash == digest))
        if license_id is None:
            raise LicenseNotFound
        return await read_details(tx, world, license_id)


async def change_license(world: World, actor: Actor, license_id: UUID, changes: Values) -> LicenseDetails:
    """Change what the operator may: expiry, overrides, external id, metadata. Raises LicenseNotFound and what each field can."""
    try:
        async with world.db.write() as tx:
            await locks.lock_license(tx, license_id)
            it = await locks.read_license(tx, license_id, world.clock.now())
            values = dict(changes)
            if it.revoked_at is not None and values.keys() & {"expires_at", "overrides"}:
                raise LicenseRevoked("A revoked license stays as it is; issue a new one.")
            if "overrides" in values:
                check_overrides(await read_policy(tx, it.policy_id), values["overrides"], passkeys=world.settings.passkeys_enabled)
            if "expires_at" in values:
                values |= _moved_expiry(it, values["expires_at"])
            if values:
                await tx.execute(update(_licenses).where(License.id == license_id).values(values))
                await record(tx, world, "license.changed", actor, ("license", license_id), fields=sorted(changes))
            return await read_details(tx, world, license_id)
    except IntegrityError as error:
        raise _named(error) from error


def _moved_expiry(it: LicenseFacts, expires: datetime | None) -> Values:
    if it.starts_at is None:
        raise LicenseClockNotStarted
    if expires is not None and expires <= it.starts_at:
        raise LicenseDatesImpossible
    try:
        return {"expires_at": expires, "grace_until": Duration.parse(it.grace).after(expires) if it.grace and expires else None}
    except OverflowError as beyond:
        raise LicenseDatesImpossible from beyond


async def validate(
    world: World, ip: str | None, key: str, product: str, asked: UseRequest, user_id: UUID | None
) -> tuple[LicenseFacts | None, Verdict]:
    """Judge a key. A pure read of one statement: never takes a seat, never starts a clock; only a wrong key leaves a trace."""
    now = world.clock.now()
    parameters = facts.parameters(
        now, fingerprint=asked.fingerprint, user_id=user_id, product=product, key_hash=digest_key(world.keys.lookup, key)
    )
    row = await world.db.query_one(facts.BY_KEY, parameters)
    if row is None:
        await guess_limits.count_wrong_guess(world, ip, key)
        found, verdict = None, Verdict((rules.not_found(),), (), None)
    else:
        found = facts.from_row(row)
        verdict = rules.judge(found, asked, now)
    decision_counter("validate", verdict.reasons[0].code if verdict.reasons else "allowed").inc()
    return found, verdict
