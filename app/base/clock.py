"""The only source of time. Everything else is handed `now`; nothing else may ask the system."""

from datetime import UTC, datetime


class Clock:
    """The system's clock, UTC, cut to the milliseconds that the wire and both databases keep."""

    def now(self) -> datetime:
        moment = datetime.now(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
