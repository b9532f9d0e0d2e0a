"""Issue licenses and change them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.base.durations import Duration
from app.base.problems import field_error
from app.catalog import rules as catalog
from app.catalog.models import ClockStart, Customer, Policy, Product
from app.catalog.problems import CustomerNotFound, PolicyContradiction, PolicyNotFound
from app.catalog.service import require_possible
from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.licenses import locks, members
from app.licenses.issuing import details
from app.licenses.issuing.details import LicenseDetails
from app.licenses.keys import NewSecret, derive_key_prefix, generate_key, import_vendor_key
from app.licenses.models import License
from app.licenses.problems import (
    LicenseClockNotStarted,
    LicenseDatesImpossible,
    LicenseExternalIdTaken,
    LicenseKeyTaken,
    LicenseRevoked,
)
from app.licenses.rules import LicenseFacts
from app.world import World

Values = dict[str, Any]
_licenses = table(License)
_policy = (
    select(*table(Policy).columns, Product.code.label("product"), Product.requires.label("product_requires"))
    .join(Product, Product.id == Policy.product_id)
    .where(Policy.id == bindparam("the_id"))
)


async def read_policy(tx: Transaction, policy_id: UUID | None) -> AnyRow:
    """Read the policy with its product's code (`product`) and requirements (`product_requires`). Raises PolicyNotFound."""
    row = (await tx.execute(_policy, {"the_id": policy_id})).one_or_none()
    if row is None:
        raise PolicyNotFound
    return row


def check_overrides(policy: AnyRow, overrides: Mapping[str, Any], *, passkeys: bool) -> None:
    """Check that the overrides fit the policy. Raises PolicyContradiction, RequirementImpossible."""
    if (contradiction := catalog.find_contradiction({**policy._mapping, **overrides})) is not None:
        field, sentence = contradiction
        raise PolicyContradiction(sentence, field_error(f"/overrides/{field}", PolicyContradiction.code, sentence))
    requires = [*policy.product_requires, *policy.requires, *overrides.get("requires", ())]
    require_possible(requires, policy.seat_by, passkeys=passkeys)


async def issue_licenses(world: World, actor: Actor, values: Values) -> tuple[list[LicenseDetails], list[str]]:
    """Issue licenses and return them with their keys, which are not stored; all or none. They can be used at once (licensing R51).

    Issues `count` licenses (None: one), or one with the vendor's own `key`. Dates are frozen here, unless the first activation
    starts the clock.
    """
    values = dict(values)
    users, key, count = values.pop("users"), values.pop("key"), values.pop("count") or 1
    lookup = world.keys.lookup
    try:
        async with world.db.write() as tx:
            policy = await read_policy(tx, values["policy_id"])
            check_overrides(policy, values["overrides"], passkeys=world.settings.passkeys_enabled)
            if values["customer_id"] is not None and not await _customer_exists(tx, values["customer_id"]):
                raise CustomerNotFound
            prefix = derive_key_prefix(policy.product)
            secrets = [import_vendor_key(lookup, key) if key else generate_key(world.entropy, lookup, prefix) for _ in range(count)]
            terms = {**values, **compute_dates(values, policy, world.clock.now()), "duration": policy.duration, "grace": policy.grace}
            rows = [{**terms, **_build_row(world, secret)} for secret in secrets]
            await tx.execute(insert(_licenses), rows)
            for row in rows:
                await record(tx, world, "license.issued", actor, ("license", row["id"]), policy=str(policy.id))
                for user_id in dict.fromkeys(users):
                    max_users = values["overrides"].get("max_users", policy.max_users)
                    await members.assign(tx, world, actor, row["id"], user_id, max_users)
            return await details.read_many(tx, world, [row["id"] for row in rows]), [secret.text for secret in secrets]
    except IntegrityError as error:
        raise _translate_unique_violation(error) from error


def _build_row(world: World, secret: NewSecret) -> Values:
    return {
        "id": world.entropy.identifier(),
        "key_hash": secret.digest,
        "key_last4": secret.last4,
        "rev": 0,
        "created_at": world.clock.now(),
    }


def compute_dates(dates: Values, policy: AnyRow, now: datetime, *, waits: bool | None = None) -> Values:
    """Compute `starts_at`, `expires_at` and `grace_until`; all None while the clock waits for the first activation.

    `dates`: the requested `starts_at` and `expires_at`, or None. `waits`: the clock waits for the first activation; None: decided by
    the policy if no date is requested. Raises LicenseDatesImpossible.
    """
    if waits is None:
        waits = policy.starts == ClockStart.FIRST_ACTIVATION and dates["starts_at"] is None and dates["expires_at"] is None
    starts = dates["starts_at"] or now
    try:
        expires = dates["expires_at"] or (Duration.parse(policy.duration).after(starts) if policy.duration else None)
        grace = Duration.parse(policy.grace).after(expires) if policy.grace and expires else None
    except OverflowError as error:
        raise LicenseDatesImpossible from error
    if expires is not None and expires <= starts:
        raise LicenseDatesImpossible
    if waits:
        return {"starts_at": None, "expires_at": None, "grace_until": None}
    return {"starts_at": starts, "expires_at": expires, "grace_until": grace}


def _translate_unique_violation(error: IntegrityError) -> Exception:
    if dialect.violates_unique(error, _licenses, "key_hash"):
        return LicenseKeyTaken()
    return LicenseExternalIdTaken() if dialect.violates_unique(error, _licenses, "external_id") else error


async def _customer_exists(tx: Transaction, customer_id: UUID) -> bool:
    return await tx.scalar(select(Customer.id).where(Customer.id == customer_id)) is not None


async def change_license(world: World, actor: Actor, license_id: UUID, changes: Values) -> LicenseDetails:
    """Change expiry, overrides, external id or metadata.

    Raises LicenseNotFound, LicenseRevoked, LicenseClockNotStarted, LicenseDatesImpossible, LicenseExternalIdTaken, PolicyContradiction,
    RequirementImpossible.
    """
    try:
        async with world.db.write() as tx:
            await locks.lock_license(tx, license_id)
            license = await locks.read_license(tx, license_id, world.clock.now())
            values = dict(changes)
            if license.revoked_at is not None and values.keys() & {"expires_at", "overrides"}:
                raise LicenseRevoked("A revoked license cannot be changed; issue a new one.")
            if "overrides" in values:
                check_overrides(await read_policy(tx, license.policy_id), values["overrides"], passkeys=world.settings.passkeys_enabled)
            if "expires_at" in values:
                values |= _compute_new_expiry(license, values["expires_at"])
            if values:
                await tx.execute(update(_licenses).where(License.id == license_id).values(values))
                await record(tx, world, "license.changed", actor, ("license", license_id), fields=sorted(changes))
            return await details.read_details(tx, world, license_id)
    except IntegrityError as error:
        raise _translate_unique_violation(error) from error


def _compute_new_expiry(license: LicenseFacts, expires: datetime | None) -> Values:
    if license.starts_at is None:
        raise LicenseClockNotStarted
    if expires is not None and expires <= license.starts_at:
        raise LicenseDatesImpossible
    try:
        return {"expires_at": expires, "grace_until": Duration.parse(license.grace).after(expires) if license.grace and expires else None}
    except OverflowError as error:
        raise LicenseDatesImpossible from error
