"""Issuing, finding and changing licenses (operators), and checking one (applications)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.base.durations import Duration
from app.catalog.models import Customer, Policy, Product
from app.catalog.problems import CustomerNotFound, PolicyNotFound
from app.db import dialect
from app.db.base import table
from app.db.database import Session
from app.db.types import UNLIMITED, AnyRow
from app.events.service import Actor, record
from app.licenses import rules, standing
from app.licenses.keys import Minted, key_digest, key_prefix, mint_key
from app.licenses.models import Activation, License, LicenseUser
from app.licenses.problems import LicenseDatesImpossible, LicenseExternalIdTaken, LicenseNotFound, UserLimitReached
from app.licenses.rules import Asked, Standing, Verdict
from app.users.models import User
from app.users.problems import UserNotFound
from app.web.paging import Window, page
from app.world import World

Values = dict[str, Any]
_licenses = (
    select(*table(License).columns, Policy.product_id, Product.code.label("product"))
    .join(Policy, Policy.id == License.policy_id)
    .join(Product, Product.id == Policy.product_id)
)


@dataclass(frozen=True)
class Shown:
    """A license as an operator sees it: its row, its standing, and its assigned users."""

    row: AnyRow
    standing: Standing
    users: Sequence[UUID]


async def bump(session: Session, license_id: UUID | None = None, key_hash: bytes | None = None) -> UUID | None:
    """Lock the license for this transaction; the first statement of every change to its seats or users (R34)."""
    named = License.id == license_id if license_id is not None else License.key_hash == key_hash
    statement = update(License).where(named).values(rev=License.rev + 1).returning(License.id)
    return (await session.execute(statement)).scalar_one_or_none()


async def issue(world: World, by: Actor, values: Values) -> tuple[Shown, str]:
    """A new license and its key, which is shown this once. Its dates are frozen here. Usable when this returns (R51)."""
    values = dict(values)
    users = values.pop("users")
    try:
        async with world.db.write() as session:
            policy = await _policy(session, values["policy_id"])
            minted = mint_key(world.entropy, world.keys.lookup, key_prefix(policy.product))
            row = {**values, **_dates(values, policy, world.clock.now()), **_new(world, minted)}
            if values["customer_id"] is not None and not await _there(session, Customer.id, values["customer_id"]):
                raise CustomerNotFound
            await session.execute(insert(table(License)).values(row))
            for user_id in dict.fromkeys(users):
                await assign(session, world, by, row["id"], user_id, policy.max_users)
            await record(session, world, "license.issued", by, ("license", row["id"]), policy=str(policy.id))
            return await _shown(session, world, row["id"]), minted.text
    except IntegrityError as error:
        raise _named(error) from error


def _new(world: World, minted: Minted) -> Values:
    return {
        "id": world.entropy.identifier(),
        "key_hash": minted.digest,
        "key_last4": minted.last4,
        "rev": 0,
        "created_at": world.clock.now(),
    }


def _dates(values: Values, policy: AnyRow, now: datetime) -> Values:
    starts = values["starts_at"] or now
    try:
        expires = values["expires_at"] or (Duration.parse(policy.duration).after(starts) if policy.duration else None)
        grace = Duration.parse(policy.grace).after(expires) if policy.grace and expires else None
    except OverflowError as beyond:
        raise LicenseDatesImpossible from beyond
    if expires is not None and expires <= starts:
        raise LicenseDatesImpossible
    return {"starts_at": starts, "expires_at": expires, "grace_until": grace}


def _named(error: IntegrityError) -> Exception:
    return LicenseExternalIdTaken() if dialect.breaks(error, table(License), "external_id") else error


async def _policy(session: Session, policy_id: UUID) -> AnyRow:
    statement = select(Policy.id, Policy.duration, Policy.grace, Policy.max_users, Product.code.label("product"))
    row = (await session.execute(statement.join(Product, Product.id == Policy.product_id).where(Policy.id == policy_id))).one_or_none()
    if row is None:
        raise PolicyNotFound
    return row


async def _there(session: Session, column: Any, value: UUID) -> bool:
    return await session.scalar(select(column).where(column == value)) is not None


async def assign(session: Session, world: World, by: Actor, license_id: UUID, user_id: UUID, max_users: Any) -> None:
    """Add a user to the bumped license, once; adding again changes nothing. Raises UserNotFound, UserLimitReached."""
    if not await _there(session, User.id, user_id):
        raise UserNotFound
    taken = (await session.scalars(select(LicenseUser.user_id).where(LicenseUser.license_id == license_id))).all()
    if user_id in taken:
        return
    if max_users not in {None, UNLIMITED} and len(taken) >= max_users:
        raise UserLimitReached("Remove a user first.", {"users": {"used": len(taken), "limit": max_users}})
    values = {"license_id": license_id, "user_id": user_id, "added_at": world.clock.now()}
    await session.execute(insert(LicenseUser).values(values))
    await record(session, world, "license.user_added", by, ("license", license_id), user_id)


async def add_user(world: World, by: Actor, license_id: UUID, user_id: UUID) -> Shown:
    async with world.db.write() as session:
        await _bumped(session, license_id)
        policy = await _policy(session, (await session.scalars(select(License.policy_id).where(License.id == license_id))).one())
        await assign(session, world, by, license_id, user_id, policy.max_users)
        return await _shown(session, world, license_id)


async def remove_user(world: World, by: Actor, license_id: UUID, user_id: UUID) -> None:
    """Take a user off the license and release that user's seats with it (R31). Removing again changes nothing."""
    now = world.clock.now()
    async with world.db.write() as session:
        await _bumped(session, license_id)
        gone = delete(LicenseUser).where(LicenseUser.license_id == license_id, LicenseUser.user_id == user_id)
        if not (await session.execute(gone)).rowcount:
            return
        mine = (Activation.license_id == license_id, Activation.user_id == user_id, Activation.released_at.is_(None))
        released = (await session.execute(update(Activation).where(*mine).values(released_at=now))).rowcount
        await record(session, world, "license.user_removed", by, ("license", license_id), user_id, seats_released=released)


async def there(session: Session, license_id: UUID) -> bool:
    return await _there(session, License.id, license_id)


async def _bumped(session: Session, license_id: UUID) -> None:
    if await bump(session, license_id) is None:
        raise LicenseNotFound


async def _shown(session: Session, world: World, license_id: UUID) -> Shown:
    row = (await session.execute(_licenses.where(License.id == license_id))).one_or_none()
    if row is None:
        raise LicenseNotFound
    return (await _all_shown(session, world, [row]))[0]


async def _all_shown(session: Session, world: World, rows: Sequence[AnyRow]) -> list[Shown]:
    ids = [row.id for row in rows]
    now = world.clock.now()
    found = await session.execute(standing.BY_LICENSES, {**standing.facts(now), "license_ids": ids})
    standings = {row.id: standing.read(row) for row in found}
    users: dict[UUID, list[UUID]] = {license_id: [] for license_id in ids}
    listed = select(LicenseUser.license_id, LicenseUser.user_id).where(LicenseUser.license_id.in_(ids))
    for pair in await session.execute(listed.order_by(LicenseUser.added_at)):
        users[pair.license_id].append(pair.user_id)
    return [Shown(row, standings[row.id], users[row.id]) for row in rows]


async def license_(world: World, license_id: UUID) -> Shown:
    async with world.db.lookup() as session:
        return await _shown(session, world, license_id)


async def lookup(world: World, key: str) -> Shown:
    """The license with this key, of whatever product. Raises LicenseNotFound."""
    async with world.db.lookup() as session:
        digest = key_digest(world.keys.lookup, key)
        license_id = await session.scalar(select(License.id).where(License.key_hash == digest))
        if license_id is None:
            raise LicenseNotFound
        return await _shown(session, world, license_id)


async def licenses(world: World, window: Window, wanted: Mapping[str, Any]) -> tuple[list[Shown], str | None]:
    """Filters: `product` (code), `customer`, `user`, `key_last4`, `external_id`; None means any."""
    filters = {
        "product": Product.code.__eq__,
        "customer": License.customer_id.__eq__,
        "user": lambda user: License.id.in_(select(LicenseUser.license_id).where(LicenseUser.user_id == user)),
        "key_last4": lambda last4: License.key_last4 == last4.upper(),
        "external_id": License.external_id.__eq__,
    }
    statement = _licenses.where(*(filters[name](value) for name, value in wanted.items() if value is not None))
    async with world.db.read() as session:
        rows, cursor = await page(session, statement, License.id, window)
        return await _all_shown(session, world, rows), cursor


async def change(world: World, by: Actor, license_id: UUID, changes: Values) -> Shown:
    try:
        async with world.db.write() as session:
            await _bumped(session, license_id)
            if changes:
                await session.execute(update(table(License)).where(License.id == license_id).values(changes))
                await record(session, world, "license.changed", by, ("license", license_id), fields=sorted(changes))
            return await _shown(session, world, license_id)
    except IntegrityError as error:
        raise _named(error) from error


_MOVES: Mapping[str, tuple[Any, Values, str]] = {
    "suspend": (License.suspended_at.is_(None), {"suspended_at": True}, "license.suspended"),
    "reinstate": (License.suspended_at.is_not(None), {"suspended_at": None}, "license.reinstated"),
    "revoke": (License.revoked_at.is_(None), {"revoked_at": True}, "license.revoked"),
}


async def move(world: World, by: Actor, license_id: UUID, action: str, reason: str | None) -> Shown:
    """`suspend`, `reinstate` or `revoke`; doing it again changes nothing and tells nothing. Suspension stops no clock (R16)."""
    still, values, event = _MOVES[action]
    now = world.clock.now()
    async with world.db.write() as session:
        stamped = {name: now if value else None for name, value in values.items()}
        moved = await session.execute(update(License).where(License.id == license_id, still).values(stamped))
        if moved.rowcount:
            await record(session, world, event, by, ("license", license_id), reason=reason)
        return await _shown(session, world, license_id)


async def validate(world: World, key: str, product: str, asked: Asked, user_id: UUID | None) -> tuple[Standing | None, Verdict]:
    """Judge a key. A pure read of one statement: never writes, never takes a seat, never starts a clock."""
    now = world.clock.now()
    parameters = standing.facts(
        now, fingerprint=asked.fingerprint, user_id=user_id, product=product, key_hash=key_digest(world.keys.lookup, key)
    )
    row = await world.db.one(standing.BY_KEY, parameters)
    if row is None:
        return None, Verdict((rules.not_found(),), (), None)
    found = standing.read(row)
    return found, rules.judge(found, asked, now)
