"""Metered usage: added on purpose, never by a check (licensing R42); all of it or nothing (licensing R41)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from app.base.durations import instant_text
from app.base.problems import Fact
from app.catalog.rules import SEATED_BY_USER
from app.db.base import table
from app.db.database import Transaction
from app.db.types import UNLIMITED, Limit
from app.licenses import credentials, guess_limits
from app.licenses.credentials import LicenseCredential
from app.licenses.models import Usage
from app.licenses.problems import LeaseExpired, LoginRequired, MeterNotFound, NotActivated, UsageLimitReached
from app.licenses.rules import LicenseFacts
from app.web.callers import Subject
from app.world import World

_usage = table(Usage)
NO_PERIOD = "ever"
MOST = 2**53 - 1
"""What every JSON reader keeps exactly; not even an unlimited meter counts further (licensing R40)."""


@dataclass(frozen=True)
class MeterUsage:
    """A meter in its current period. `remaining` is never below 0, also when the limit was lowered below what is used."""

    used: int
    limit: Limit
    resets_at: datetime | None

    @property
    def remaining(self) -> Limit:
        return max(0, self.limit - self.used) if isinstance(self.limit, int) else UNLIMITED

    def facts(self) -> dict[str, Fact]:
        resets_at = instant_text(self.resets_at) if self.resets_at else None
        return {"used": self.used, "limit": self.limit, "remaining": self.remaining, "resets_at": resets_at}


async def add(world: World, ip: str | None, subject: Subject | None, credential: LicenseCredential, meter: str, amount: int) -> MeterUsage:
    """Count `amount` (0 counts nothing and tells how it stands). Raises the standing's refusals, MeterNotFound, UsageLimitReached."""
    async with guess_limits.counting_wrong_guesses(world, ip, credential.key), world.db.write() as tx:
        it, now = await credentials.lock_by_credential(tx, world, credential, subject, None)
        credentials.check_usable(it, subject, now)
        if credential.seat is not None and not (it.seat is not None and it.seat.live(now)):
            raise LeaseExpired
        if it.seat_by in SEATED_BY_USER and subject is None and credential.seat is None:
            raise LoginRequired("The license seats its end users; log in.")
        if it.starts_at is None:
            raise NotActivated("The license starts with its first activation; nothing is used before.")
        if (rule := it.meters.get(meter)) is None:
            raise MeterNotFound
        return await _added(tx, it, meter, rule, amount, now)


async def _added(tx: Transaction, it: LicenseFacts, meter: str, rule: Mapping[str, Any], amount: int, now: datetime) -> MeterUsage:
    start, resets_at = period(rule["per"], now)
    limit: Limit = rule["limit"]
    most = limit if isinstance(limit, int) else MOST
    per = rule["per"] or NO_PERIOD
    row = (_usage.c.license_id == it.license_id, _usage.c.meter == meter, _usage.c.per == per, _usage.c.period_start == start)
    if amount:
        counting = update(_usage).where(*row, _usage.c.used + amount <= most).values(used=_usage.c.used + amount)
        if (used := await tx.scalar(counting.returning(_usage.c.used))) is not None:
            return MeterUsage(used, limit, resets_at)
    used = await tx.scalar(select(_usage.c.used).where(*row))
    if amount and used is None and amount <= most:
        values = {"license_id": it.license_id, "meter": meter, "per": per, "period_start": start, "used": amount}
        await tx.execute(insert(_usage), values)
        return MeterUsage(amount, limit, resets_at)
    told = MeterUsage(used or 0, limit, resets_at)
    if amount:
        raise UsageLimitReached("Nothing was counted; wait for the next period or ask for less.", {"meter": meter, **told.facts()})
    return told


async def of(tx: Transaction, standings: Sequence[LicenseFacts], now: datetime) -> dict[UUID, dict[str, MeterUsage]]:
    """Every meter of these licenses in its current period."""
    metered = [it for it in standings if it.meters]
    starts = {period(rule["per"], now)[0] for it in metered for rule in it.meters.values()}
    counted: dict[tuple[UUID, str, str, datetime], int] = {}
    if metered:
        wanted = (_usage.c.license_id.in_([it.license_id for it in metered]), _usage.c.period_start.in_(starts))
        for row in await tx.execute(select(*_usage.columns).where(*wanted)):
            counted[row.license_id, row.meter, row.per, row.period_start] = row.used
    told: dict[UUID, dict[str, MeterUsage]] = {it.license_id: {} for it in standings}
    for it in metered:
        for meter, rule in it.meters.items():
            start, resets_at = period(rule["per"], now)
            told[it.license_id][meter] = MeterUsage(
                counted.get((it.license_id, meter, rule["per"] or NO_PERIOD, start), 0), rule["limit"], resets_at
            )
    return told


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def period(per: str | None, now: datetime) -> tuple[datetime, datetime | None]:
    """When the meter's current period began and when the next begins; a meter without period began with the epoch for ever."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match per:
        case "hour":
            start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            return start, start + timedelta(hours=1)
        case "day":
            return day, day + timedelta(days=1)
        case "month":
            start = day.replace(day=1)
            return start, (start + timedelta(days=31)).replace(day=1)
        case "year":
            start = day.replace(month=1, day=1)
            return start, start.replace(year=start.year + 1)
        case _:
            return _EPOCH, None
