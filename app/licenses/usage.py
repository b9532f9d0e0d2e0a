"""Read metered usage: each meter of a license in its current period."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from app.base.durations import instant_text
from app.base.problems import Fact
from app.db.base import table
from app.db.database import Transaction
from app.db.types import UNLIMITED, Limit
from app.licenses.models import Usage
from app.licenses.rules import LicenseFacts

_usage = table(Usage)
NO_PERIOD = "ever"
"""The stored `per` of a meter that never resets."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class MeterUsage:
    """A meter in its current period. `remaining` is never negative, even if the limit was lowered below the used amount."""

    used: int
    limit: Limit
    resets_at: datetime | None

    @property
    def remaining(self) -> Limit:
        return max(0, self.limit - self.used) if isinstance(self.limit, int) else UNLIMITED

    def to_facts(self) -> dict[str, Fact]:
        """Return the usage as JSON values."""
        resets_at = instant_text(self.resets_at) if self.resets_at else None
        return {"used": self.used, "limit": self.limit, "remaining": self.remaining, "resets_at": resets_at}


async def read_usage(tx: Transaction, licenses: Sequence[LicenseFacts], now: datetime) -> dict[UUID, dict[str, MeterUsage]]:
    """Read every meter of these licenses in its current period, by license id and meter."""
    metered = [license for license in licenses if license.meters]
    starts = {find_period(meter["per"], now)[0] for license in metered for meter in license.meters.values()}
    amounts: dict[tuple[UUID, str, str, datetime], int] = {}
    if metered:
        is_current = (_usage.c.license_id.in_([license.license_id for license in metered]), _usage.c.period_start.in_(starts))
        for row in await tx.execute(select(*_usage.columns).where(*is_current)):
            amounts[row.license_id, row.meter, row.per, row.period_start] = row.used
    usage: dict[UUID, dict[str, MeterUsage]] = {license.license_id: {} for license in licenses}
    for license in metered:
        for name, meter in license.meters.items():
            start, resets_at = find_period(meter["per"], now)
            used = amounts.get((license.license_id, name, meter["per"] or NO_PERIOD, start), 0)
            usage[license.license_id][name] = MeterUsage(used, meter["limit"], resets_at)
    return usage


def find_period(per: str | None, now: datetime) -> tuple[datetime, datetime | None]:
    """Return the start of the meter's current period and of the next one; without a period, the epoch and None."""
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
