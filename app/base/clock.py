"""The only code that reads the system time. Other code gets a Clock, or `now` as a parameter."""

from datetime import UTC, datetime


class Clock:
    """The system clock in UTC, truncated to milliseconds, the precision of responses and of both databases."""

    def now(self) -> datetime:
        moment = datetime.now(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
