"""A clock that a test sets."""

from datetime import UTC, datetime, timedelta

from app.base.clock import Clock

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class TurnedClock(Clock):
    """A clock that stops until a test moves it."""

    def __init__(self, start: datetime = START) -> None:
        self.moment = start

    def now(self) -> datetime:
        return self.moment

    def forward(self, **by: float) -> datetime:
        """Advance by `timedelta(**by)` and return the new time."""
        self.moment += timedelta(**by)
        return self.moment
