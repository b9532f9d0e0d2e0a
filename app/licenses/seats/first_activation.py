"""Start the license's clock and the device's trial, in the transaction of a first activation."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import select, update

from app.base.durations import Duration, instant_text
from app.db import dialect
from app.db.database import Transaction
from app.events.service import Actor, record
from app.licenses.models import License, Trial
from app.licenses.problems import LicenseDatesImpossible, TrialUsed
from app.licenses.rules import LicenseFacts
from app.world import World


async def use_trial(tx: Transaction, world: World, license: LicenseFacts, fingerprint: str) -> None:
    """Use the device's only trial of the product for this license. Raises TrialUsed if another license used it."""
    slot = world.keys.lookup.digest("trial", f"{license.product}\0{fingerprint}")
    row = {"slot": slot, "license_id": license.license_id, "started_at": world.clock.now()}
    if await dialect.insert_once(tx, Trial, row, unless=["slot"]):
        return
    if await tx.scalar(select(Trial.license_id).where(Trial.slot == slot)) != license.license_id:
        raise TrialUsed


async def start_clock(tx: Transaction, world: World, license: LicenseFacts, now: datetime) -> LicenseFacts:
    """Set the license's dates from its frozen duration. A guarded update: a second device cannot move them (licensing R12)."""
    try:
        expires = Duration.parse(license.duration).after(now) if license.duration else None
        grace = Duration.parse(license.grace).after(expires) if license.grace and expires else None
    except OverflowError as error:
        raise LicenseDatesImpossible from error
    unstarted = update(License).where(License.id == license.license_id, License.starts_at.is_(None))
    await tx.execute(unstarted.values(starts_at=now, expires_at=expires, grace_until=grace))
    ends = instant_text(expires) if expires else None
    await record(tx, world, "license.started", Actor.system(), ("license", license.license_id), expires_at=ends)
    return replace(license, starts_at=now, expires_at=expires, grace_until=grace)
