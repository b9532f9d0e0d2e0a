"""The hours, days, months and years of UTC that a meter counts in: computed on demand, reset by nobody (R43)."""

from datetime import UTC, datetime, timedelta

FOR_EVER = datetime(1970, 1, 1, tzinfo=UTC)


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
            return FOR_EVER, None
