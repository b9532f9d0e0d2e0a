"""Count metered usage: only on an explicit call (licensing R42), and all of the amount or nothing (licensing R41)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from app.catalog.rules import SEATED_BY_USER
from app.db.base import table
from app.db.database import Transaction
from app.db.types import Limit
from app.licenses import credentials, guess_limits
from app.licenses.credentials import LicenseCredential
from app.licenses.models import Usage
from app.licenses.problems import LeaseExpired, LoginRequired, MeterNotFound, NotActivated, UsageLimitReached
from app.licenses.rules import LicenseFacts
from app.licenses.usage import NO_PERIOD, MeterUsage, find_period
from app.web.callers import Subject
from app.world import World

_usage = table(Usage)
MAX_USED = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly; also the maximum of an unlimited meter (licensing R40)."""


async def add_usage(
    world: World, ip: str | None, subject: Subject | None, credential: LicenseCredential, meter: str, amount: int
) -> MeterUsage:
    """Count `amount` and return the meter; 0 only reads it. Raises MeterNotFound, UsageLimitReached and the license's refusals."""
    async with guess_limits.counting_wrong_guesses(world, ip, credential.key), world.db.write() as tx:
        license, now = await credentials.lock_by_credential(tx, world, credential, subject, None)
        credentials.check_usable(license, subject, now)
        if credential.seat is not None and not (license.seat is not None and license.seat.is_live(now)):
            raise LeaseExpired
        if license.seat_by in SEATED_BY_USER and subject is None and credential.seat is None:
            raise LoginRequired("The seats of this license belong to users; log in and send the access token.")
        if license.starts_at is None:
            raise NotActivated("The license starts with its first activation; activate a seat first.")
        if (rule := license.meters.get(meter)) is None:
            raise MeterNotFound
        return await _count(tx, license, meter, rule, amount, now)


async def _count(tx: Transaction, license: LicenseFacts, meter: str, rule: Mapping[str, Any], amount: int, now: datetime) -> MeterUsage:
    start, resets_at = find_period(rule["per"], now)
    limit: Limit = rule["limit"]
    maximum = limit if isinstance(limit, int) else MAX_USED
    key = {"license_id": license.license_id, "meter": meter, "per": rule["per"] or NO_PERIOD, "period_start": start}
    is_row = [_usage.c[name] == value for name, value in key.items()]
    if amount:
        count = update(_usage).where(*is_row, _usage.c.used + amount <= maximum).values(used=_usage.c.used + amount)
        if (used := await tx.scalar(count.returning(_usage.c.used))) is not None:
            return MeterUsage(used, limit, resets_at)
    used = await tx.scalar(select(_usage.c.used).where(*is_row))
    if amount and used is None and amount <= maximum:
        await tx.execute(insert(_usage), {**key, "used": amount})
        return MeterUsage(amount, limit, resets_at)
    usage = MeterUsage(used or 0, limit, resets_at)
    if amount:
        raise UsageLimitReached("Nothing was counted; send less or wait for the next period.", {"meter": meter, **usage.to_facts()})
    return usage
