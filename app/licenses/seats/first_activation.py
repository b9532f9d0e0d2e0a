"""What a first activation begins, in its own transaction: the clock of a license that waits for it, and a device's one trial."""

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


async def try_out(tx: Transaction, world: World, it: LicenseFacts, fingerprint: str) -> None:
    """One trial of a product for each device, ever: the first license keeps it. Raises TrialUsed."""
    slot = world.keys.lookup.digest("trial", f"{it.product}\0{fingerprint}")
    row = {"slot": slot, "license_id": it.license_id, "started_at": world.clock.now()}
    if await dialect.insert_once(tx, Trial, row, unless=["slot"]):
        return
    if await tx.scalar(select(Trial.license_id).where(Trial.slot == slot)) != it.license_id:
        raise TrialUsed


async def start_clock(tx: Transaction, world: World, it: LicenseFacts, now: datetime) -> LicenseFacts:
    """The first activation sets the dates, in its own transaction; guarded, so that no second device moves them (licensing R12)."""
    try:
        expires = Duration.parse(it.duration).after(now) if it.duration else None
        grace = Duration.parse(it.grace).after(expires) if it.grace and expires else None
    except OverflowError as beyond:
        raise LicenseDatesImpossible from beyond
    unstarted = update(License).where(License.id == it.license_id, License.starts_at.is_(None))
    await tx.execute(unstarted.values(starts_at=now, expires_at=expires, grace_until=grace))
    ends = instant_text(expires) if expires else None
    await record(tx, world, "license.started", Actor.system(), ("license", it.license_id), expires_at=ends)
    return replace(it, starts_at=now, expires_at=expires, grace_until=grace)
