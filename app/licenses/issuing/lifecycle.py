"""Operators' actions on an issued license: suspend, reinstate, revoke, renew, rotate the key, transfer, change the policy.

Repeating an action changes nothing and records no event. A revoked license accepts no action, but its seats can still be released.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select, update

from app.base.durations import Duration, instant_text
from app.catalog.models import ClockStart, Customer
from app.catalog.problems import CustomerNotFound
from app.db.base import table
from app.db.database import Transaction
from app.events.service import Actor, record
from app.licenses import locks, members, releases
from app.licenses.issuing import details, service
from app.licenses.issuing.details import LicenseDetails
from app.licenses.keys import derive_key_prefix, generate_key
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
    """An action on a license, as the audit log records it: its actor, the license, and the reason."""

    actor: Actor
    license_id: UUID
    reason: str | None = None


async def _record_action(tx: Transaction, world: World, action: OperatorAction, event: str, **data: Any) -> None:
    await record(tx, world, event, action.actor, ("license", action.license_id), reason=action.reason, **data)


async def _update_license(tx: Transaction, license_id: UUID, **values: Any) -> None:
    await tx.execute(update(table(License)).where(License.id == license_id).values(values))


async def suspend(world: World, action: OperatorAction) -> LicenseDetails:
    """Refuse every use until reinstated. Expiry does not move (licensing R16). Raises LicenseRevoked."""
    async with world.db.write() as tx:
        license = await locks.lock_unrevoked(tx, world, action.license_id)
        if license.suspended_at is None:
            await _update_license(tx, action.license_id, suspended_at=world.clock.now())
            await _record_action(tx, world, action, "license.suspended")
        return await details.read_details(tx, world, action.license_id)


async def reinstate(world: World, action: OperatorAction) -> LicenseDetails:
    """End the suspension of a license. Raises LicenseRevoked."""
    async with world.db.write() as tx:
        license = await locks.lock_unrevoked(tx, world, action.license_id)
        if license.suspended_at is not None:
            await _update_license(tx, action.license_id, suspended_at=None)
            await _record_action(tx, world, action, "license.reinstated")
        return await details.read_details(tx, world, action.license_id)


async def revoke(world: World, action: OperatorAction) -> LicenseDetails:
    """Revoke a license permanently: every use is refused."""
    async with world.db.write() as tx:
        await locks.lock_license(tx, action.license_id)
        license = await locks.read_license(tx, action.license_id, world.clock.now())
        if license.revoked_at is None:
            await _update_license(tx, action.license_id, revoked_at=world.clock.now())
            await _record_action(tx, world, action, "license.revoked")
        return await details.read_details(tx, world, action.license_id)


async def renew(world: World, action: OperatorAction, until: datetime | None) -> LicenseDetails:
    """Extend by one duration of the policy, from expiry or, if the grace period is over, from now (licensing R15); or until `until`.

    Raises LicenseRevoked, LicenseClockNotStarted, LicenseNotRenewable, LicenseDatesImpossible.
    """
    async with world.db.write() as tx:
        license = await locks.lock_unrevoked(tx, world, action.license_id)
        now = world.clock.now()
        policy = await service.read_policy(tx, license.policy_id)
        dates = _compute_renewal(license, policy.duration, policy.grace, until, now)
        if dates["expires_at"] != license.expires_at:
            await _update_license(tx, action.license_id, **dates, duration=policy.duration, grace=policy.grace)
            data = {"from": instant_text(license.expires_at) if license.expires_at else None, "until": instant_text(dates["expires_at"])}
            await _record_action(tx, world, action, "license.renewed", **data)
        return await details.read_details(tx, world, action.license_id)


def _compute_renewal(
    license: LicenseFacts, duration: str | None, grace: str | None, until: datetime | None, now: datetime
) -> dict[str, Any]:
    if license.starts_at is None:
        raise LicenseClockNotStarted
    if license.expires_at is None or (until is None and duration is None):
        raise LicenseNotRenewable
    is_over = now >= (license.grace_until or license.expires_at)
    try:
        expires = until or Duration.parse(duration or "").after(now if is_over else license.expires_at)
        if until is None and expires <= now:
            # After a long grace period, a term from the old expiry could end in the past (licensing R15).
            expires = Duration.parse(duration or "").after(now)
        ends = Duration.parse(grace).after(expires) if grace else None
    except OverflowError as error:
        raise LicenseDatesImpossible from error
    if expires <= license.starts_at:
        raise LicenseDatesImpossible
    return {"expires_at": expires, "grace_until": ends}


async def rotate_key(world: World, action: OperatorAction) -> tuple[LicenseDetails, str]:
    """Replace the key and return the new one; the old one stops working. All else stays (licensing R50). Raises LicenseRevoked."""
    async with world.db.write() as tx:
        license = await locks.lock_unrevoked(tx, world, action.license_id)
        key = generate_key(world.entropy, world.keys.lookup, derive_key_prefix(license.product))
        await _update_license(tx, action.license_id, key_hash=key.digest, key_last4=key.last4)
        await _record_action(tx, world, action, "license.key_rotated")
        return await details.read_details(tx, world, action.license_id), key.text


async def add_user(world: World, actor: Actor, license_id: UUID, user_id: UUID) -> LicenseDetails:
    """Assign an end user, who may then use the license without its key. Raises LicenseRevoked, UserNotFound, UserLimitReached."""
    async with world.db.write() as tx:
        license = await locks.lock_unrevoked(tx, world, license_id)
        await members.assign(tx, world, actor, license_id, user_id, license.max_users)
        return await details.read_details(tx, world, license_id)


async def transfer(world: World, action: OperatorAction, customer_id: UUID | None) -> LicenseDetails:
    """Transfer the license to another customer, or to none. Users and seats stay. Raises CustomerNotFound, LicenseRevoked."""
    async with world.db.write() as tx:
        await locks.lock_unrevoked(tx, world, action.license_id)
        if customer_id is not None and await tx.scalar(select(Customer.id).where(Customer.id == customer_id)) is None:
            raise CustomerNotFound
        previous_id = await tx.scalar(select(License.customer_id).where(License.id == action.license_id))
        if previous_id != customer_id:
            await _update_license(tx, action.license_id, customer_id=customer_id)
            data = {"from": str(previous_id) if previous_id else None, "to": str(customer_id) if customer_id else None}
            await _record_action(tx, world, action, "license.transferred", **data)
        return await details.read_details(tx, world, action.license_id)


async def change_policy(world: World, action: OperatorAction, policy_id: UUID, expiry: Literal["keep", "reset"]) -> LicenseDetails:
    """Move the license to another policy of its product. `keep` keeps its dates; `reset` computes them again from now, as at issue.

    A clock that waits for a first activation starts now if the new policy does not wait. If the new policy counts seats differently,
    all seats are released.
    Raises PolicyNotFound, PolicyOfAnotherProduct, PolicyContradiction, RequirementImpossible, LicenseRevoked, LicenseDatesImpossible.
    """
    async with world.db.write() as tx:
        license = await locks.lock_unrevoked(tx, world, action.license_id)
        now = world.clock.now()
        policy = await service.read_policy(tx, policy_id)
        if policy.product != license.product:
            raise PolicyOfAnotherProduct
        overrides = await tx.scalar(select(License.overrides).where(License.id == action.license_id)) or {}
        service.check_overrides(policy, overrides, passkeys=world.settings.passkeys_enabled)
        if policy_id != license.policy_id or expiry == "reset":
            counts_differently = policy.seat_by != license.seat_by
            seats = _activations.c.license_id == action.license_id
            released = await releases.release_seats(tx, world, action.actor, "policy_changed", seats) if counts_differently else 0
            starts_now = license.starts_at is None and policy.starts != ClockStart.FIRST_ACTIVATION
            dates = await _reset_dates(tx, action.license_id, policy, now) if expiry == "reset" or starts_now else {}
            await _update_license(tx, action.license_id, policy_id=policy_id, **dates)
            data = {"from": str(license.policy_id), "to": str(policy_id), "expiry": expiry, "seats_released": released}
            await _record_action(tx, world, action, "license.policy_changed", **data)
        return await details.read_details(tx, world, action.license_id)


async def _reset_dates(tx: Transaction, license_id: UUID, policy: Any, now: datetime) -> dict[str, Any]:
    """Compute dates and terms as at issue. A clock that waits for the first activation starts now if a device is already activated."""
    occupied = select(_activations.c.id).where(_activations.c.license_id == license_id, _activations.c.released_at.is_(None)).limit(1)
    waits = policy.starts == ClockStart.FIRST_ACTIVATION and await tx.scalar(occupied) is None
    dates = service.compute_dates({"starts_at": None, "expires_at": None}, policy, now, waits=waits)
    return {**dates, "duration": policy.duration, "grace": policy.grace}
