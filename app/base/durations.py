"""Instants and ISO 8601 durations as text, with calendar arithmetic: Jan 31 + P1M is the last of February."""

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
    """RFC 3339, UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_seconds(given: object) -> object:
    """Plain digits as seconds; everything else as it came, for whoever reads ISO 8601."""
    return timedelta(seconds=float(given)) if isinstance(given, str) and _SECONDS.fullmatch(given) else given


@dataclass(frozen=True)
class Duration:
    """Calendar months, then exact time. `text` is the duration as it was written."""

    text: str
    months: int
    exact: timedelta

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str) -> Self:
        """Read an ISO 8601 duration such as `P1Y`, `P1M`, `PT30M`. Raises ValueError for anything else, and for zero."""
        found = _SHAPE.fullmatch(text)
        if found is None:
            raise ValueError("not an ISO 8601 duration")
        part = {name: int(value or 0) for name, value in found.groupdict().items()}
        exact = timedelta(**{unit: part[unit] for unit in ("weeks", "days", "hours", "minutes", "seconds")})
        months = part["years"] * 12 + part["months"]
        if not months and not exact:
            raise ValueError("a duration of nothing")
        if months + exact.days // 31 >= LAST_YEAR * 12:
            raise ValueError("a duration beyond the calendar")
        return cls(text, months, exact)

    def after(self, start: datetime) -> datetime:
        """The instant this much after `start`. Raises OverflowError past the year 9999."""
        month = start.month - 1 + self.months
        year, month = start.year + month // 12, month % 12 + 1
        if year > LAST_YEAR:
            raise OverflowError("past the year 9999")
        day = min(start.day, monthrange(year, month)[1])
        return start.replace(year=year, month=month, day=day) + self.exact
