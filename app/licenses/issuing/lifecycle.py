"""What an operator does to a license after its issue: suspend, reinstate, revoke, renew, rotate its key, transfer, change its policy.

Doing it again changes nothing and tells nothing. A revoked license is past all of it; its seats can still be given back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select, update

from app.base.durations import Duration, instant_text
from app.catalog.models import Customer, Starts
from app.catalog.problems import CustomerNotFound
from app.db.base import table
from app.db.database import Transaction
from app.events.service import Actor, record
from app.licenses import locks, members, releases
from app.licenses.issuing import service
from app.licenses.issuing.service import LicenseDetails
from app.licenses.keys import generate_key, key_prefix
from app.licenses.models import Activation, License
from app.licenses.problems import (
    LicenseClockNotStarted,
    LicenseDatesImpossible,
    LicenseNotRenewable,
    PolicyOfAnotherProduct,
)
from app.licenses.rules import LicenseFacts
from app.world import World

_activations = table(Activation)


@dataclass(frozen=True)
class OperatorAction:
    """Who does it, to which license, and why, for the record."""

    by: Actor
    license_id: UUID
    reason: str | None = None


async def _tell(tx: Transaction, world: World, deed: OperatorAction, event: str, **data: Any) -> None:
    await record(tx, world, event, deed.by, ("license", deed.license_id), reason=deed.reason, **data)


async def _set(tx: Transaction, license_id: UUID, **values: Any) -> None:
    await tx.execute(update(table(License)).where(License.id == license_id).values(values))


async def suspend(world: World, deed: OperatorAction) -> LicenseDetails:
    """Refuse every use until reinstated. Stops no clock (licensing R16)."""
    async with world.db.write() as tx:
        it = await locks.lock_unrevoked(tx, world, deed.license_id)
        if it.suspended_at is None:
            await _set(tx, deed.license_id, suspended_at=world.clock.now())
            await _tell(tx, world, deed, "license.suspended")
        return await service.read_details(tx, world, deed.license_id)


async def reinstate(world: World, deed: OperatorAction) -> LicenseDetails:
    async with world.db.write() as tx:
        it = await locks.lock_unrevoked(tx, world, deed.license_id)
        if it.suspended_at is not None:
            await _set(tx, deed.license_id, suspended_at=None)
            await _tell(tx, world, deed, "license.reinstated")
        return await service.read_details(tx, world, deed.license_id)


async def revoke(world: World, deed: OperatorAction) -> LicenseDetails:
    """Refuse every use for ever."""
    async with world.db.write() as tx:
        await locks.lock_license(tx, deed.license_id)
        it = await locks.read_license(tx, deed.license_id, world.clock.now())
        if it.revoked_at is None:
            await _set(tx, deed.license_id, revoked_at=world.clock.now())
            await _tell(tx, world, deed, "license.revoked")
        return await service.read_details(tx, world, deed.license_id)


async def renew(world: World, deed: OperatorAction, until: datetime | None) -> LicenseDetails:
    """One more duration of the policy, from expiry, or from now if the license has run out, grace and all (licensing R15); or `until`.

    Raises LicenseRevoked, LicenseClockNotStarted, LicenseNotRenewable, LicenseDatesImpossible.
    """
    async with world.db.write() as tx:
        it = await locks.lock_unrevoked(tx, world, deed.license_id)
        now = world.clock.now()
        policy = await service.read_policy(tx, it.policy_id)
        dates = _renewed(it, policy.duration, policy.grace, until, now)
        if dates["expires_at"] != it.expires_at:
            await _set(tx, deed.license_id, **dates, duration=policy.duration, grace=policy.grace)
            told = {"from": instant_text(it.expires_at) if it.expires_at else None, "until": instant_text(dates["expires_at"])}
            await _tell(tx, world, deed, "license.renewed", **told)
        return await service.read_details(tx, world, deed.license_id)


def _renewed(it: LicenseFacts, duration: str | None, grace: str | None, until: datetime | None, now: datetime) -> dict[str, Any]:
    if it.starts_at is None:
        raise LicenseClockNotStarted
    if it.expires_at is None or (until is None and duration is None):
        raise LicenseNotRenewable
    run_out = now >= (it.grace_until or it.expires_at)
    try:
        expires = until or Duration.parse(duration or "").after(now if run_out else it.expires_at)
        if until is None and expires <= now:
            expires = Duration.parse(duration or "").after(now)  # a long grace: what is bought lies ahead, not behind (licensing R15)
        ends = Duration.parse(grace).after(expires) if grace else None
    except OverflowError as beyond:
        raise LicenseDatesImpossible from beyond
    if expires <= it.starts_at:
        raise LicenseDatesImpossible
    return {"expires_at": expires, "grace_until": ends}


async def rotate_key(world: World, deed: OperatorAction) -> tuple[LicenseDetails, str]:
    """A new key, shown this once; the old one dies at once. Id, seats, usage and dates stay (licensing R50). Raises LicenseRevoked."""
    async with world.db.write() as tx:
        it = await locks.lock_unrevoked(tx, world, deed.license_id)
        minted = generate_key(world.entropy, world.keys.lookup, key_prefix(it.product))
        await _set(tx, deed.license_id, key_hash=minted.digest, key_last4=minted.last4)
        await _tell(tx, world, deed, "license.key_rotated")
        return await service.read_details(tx, world, deed.license_id), minted.text


async def add_user(world: World, actor: Actor, license_id: UUID, user_id: UUID) -> LicenseDetails:
    """Let an end user use the license without its key. Raises LicenseRevoked, UserNotFound, UserLimitReached."""
    async with world.db.write() as tx:
        it = await locks.lock_unrevoked(tx, world, license_id)
        await members.assign(tx, world, actor, license_id, user_id, it.max_users)
        return await service.read_details(tx, world, license_id)


async def transfer(world: World, deed: OperatorAction, customer_id: UUID | None) -> LicenseDetails:
    """Another customer, or none, owns the license. Its users and seats stay. Raises CustomerNotFound, LicenseRevoked."""
    async with world.db.write() as tx:
        await locks.lock_unrevoked(tx, world, deed.license_id)
        if customer_id is not None and await tx.scalar(select(Customer.id).where(Customer.id == customer_id)) is None:
            raise CustomerNotFound
        before = await tx.scalar(select(License.customer_id).where(License.id == deed.license_id))
        if before != customer_id:
            await _set(tx, deed.license_id, customer_id=customer_id)
            told = {"from": str(before) if before else None, "to": str(customer_id) if customer_id else None}
            await _tell(tx, world, deed, "license.transferred", **told)
        return await service.read_details(tx, world, deed.license_id)


async def change_policy(world: World, deed: OperatorAction, policy_id: UUID, expiry: Literal["keep", "reset"]) -> LicenseDetails:
    """Put the license under another policy of its product. `keep` leaves its dates; `reset` sets them as at issue, from now.
    A clock that still waits for a first activation starts now where the new policy does not wait for one.

    Seats of another kind mean nothing under the new policy and are released with the change.
    Raises PolicyNotFound, PolicyOfAnotherProduct, PolicyContradiction, RequirementImpossible, LicenseRevoked, LicenseDatesImpossible.
    """
    async with world.db.write() as tx:
        it = await locks.lock_unrevoked(tx, world, deed.license_id)
        now = world.clock.now()
        policy = await service.read_policy(tx, policy_id)
        if policy.product != it.product:
            raise PolicyOfAnotherProduct
        overrides = await tx.scalar(select(License.overrides).where(License.id == deed.license_id)) or {}
        service.check_overrides(policy, overrides, passkeys=world.settings.passkeys_enabled)
        if policy_id != it.policy_id or expiry == "reset":
            other_kind = policy.seat_by != it.seat_by
            mine = _activations.c.license_id == deed.license_id
            released = await releases.release(tx, world, deed.by, "policy_changed", mine) if other_kind else 0
            startless = it.starts_at is None and policy.starts != Starts.FIRST_ACTIVATION
            dates = await _reset(tx, deed.license_id, policy, now) if expiry == "reset" or startless else {}
            await _set(tx, deed.license_id, policy_id=policy_id, **dates)
            told = {"from": str(it.policy_id), "to": str(policy_id), "expiry": expiry, "seats_released": released}
            await _tell(tx, world, deed, "license.policy_changed", **told)
        return await service.read_details(tx, world, deed.license_id)


async def _reset(tx: Transaction, license_id: UUID, policy: Any, now: datetime) -> dict[str, Any]:
    """Dates and terms as at issue. A clock that starts with the first activation starts now if a device is already in."""
    used = select(_activations.c.id).where(_activations.c.license_id == license_id, _activations.c.released_at.is_(None)).limit(1)
    waits = policy.starts == Starts.FIRST_ACTIVATION and await tx.scalar(used) is None
    dates = service.compute_dates({"starts_at": None, "expires_at": None}, policy, now, waits=waits)
    return {**dates, "duration": policy.duration, "grace": policy.grace}
