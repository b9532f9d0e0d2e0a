"""Format instants and parse ISO 8601 durations, with calendar arithmetic: Jan 31 + P1M is the last day of February."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Self

_SHAPE = re.compile(
    r"P(?=.)(?:(?P<years>[0-9]{1,4})Y)?(?:(?P<months>[0-9]{1,5})M)?(?:(?P<weeks>[0-9]{1,5})W)?(?:(?P<days>[0-9]{1,6})D)?"
    r"(?:T(?=.)(?:(?P<hours>[0-9]{1,6})H)?(?:(?P<minutes>[0-9]{1,8})M)?(?:(?P<seconds>[0-9]{1,9})S)?)?",
    re.ASCII,
)
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", re.ASCII)
LAST_YEAR = 9999


def instant_text(moment: datetime) -> str:
    """Format as RFC 3339 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_seconds(value: object) -> object:
    """Return plain digits as seconds, and any other value unchanged, for the ISO 8601 parser that follows."""
    return timedelta(seconds=float(value)) if isinstance(value, str) and _SECONDS.fullmatch(value) else value


@dataclass(frozen=True)
class Duration:
    """A number of calendar months, then an exact time. `text` is the duration as it was written."""

    text: str
    months: int
    exact: timedelta

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str) -> Self:
        """Parse an ISO 8601 duration such as `P1Y`, `P1M`, `PT30M`. Raises ValueError for anything else, and for zero."""
        match = _SHAPE.fullmatch(text)
        if match is None:
            raise ValueError("must be an ISO 8601 duration, such as P1Y, P30D or PT15M")
        part = {name: int(value or 0) for name, value in match.groupdict().items()}
        exact = timedelta(**{unit: part[unit] for unit in ("weeks", "days", "hours", "minutes", "seconds")})
        months = part["years"] * 12 + part["months"]
        if not months and not exact:
            raise ValueError("must be longer than zero")
        if months + exact.days // 31 >= LAST_YEAR * 12:
            raise ValueError("must be shorter than 9999 years")
        return cls(text, months, exact)

    def after(self, start: datetime) -> datetime:
        """Return `start` plus the duration. Raises OverflowError past the year 9999."""
        month = start.month - 1 + self.months
        year, month = start.year + month // 12, month % 12 + 1
        if year > LAST_YEAR:
            raise OverflowError("past the year 9999")
        day = min(start.day, monthrange(year, month)[1])
        return start.replace(year=year, month=month, day=day) + self.exact
