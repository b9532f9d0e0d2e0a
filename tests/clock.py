"""A clock that a test turns."""

from datetime import UTC, datetime, timedelta

from app.base.clock import Clock

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class TurnedClock(Clock):
    """Stands still until it is turned forward."""

    def __init__(self, start: datetime = START) -> None:
        self.moment = start

    def now(self) -> datetime:
        return self.moment

    def forward(self, **by: float) -> datetime:
        """Turn it on by `timedelta(**by)`."""
        self.moment += timedelta(**by)
        return self.moment
