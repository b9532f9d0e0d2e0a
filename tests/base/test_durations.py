"""Calendar arithmetic (licensing R11)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.durations import Duration


@pytest.mark.parametrize(
    ("start", "text", "end"),
    [
        ("2026-01-31", "P1M", "2026-02-28"),
        ("2028-01-31", "P1M", "2028-02-29"),
        ("2028-02-29", "P1Y", "2029-02-28"),
        ("2026-12-31", "P1M", "2027-01-31"),
        ("2026-03-01", "P2W", "2026-03-15"),
        ("2026-03-01", "P1Y2M3D", "2027-05-04"),
    ],
)
def test_a_month_is_a_calendar_month_and_ends_at_its_last_day(start: str, text: str, end: str) -> None:
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert Duration.parse(text).after(moment).date().isoformat() == end


def test_hours_and_minutes_are_exact() -> None:
    moment = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert Duration.parse("PT30M").after(moment) - moment == timedelta(minutes=30)


@pytest.mark.parametrize("text", ["", "P", "PT", "P0D", "PT0S", "-P1D", "P1.5D", "1Y", "P1H", "p1y", "P99999Y", "P1Y ", "P1M1Y", "P١D"])
def test_a_malformed_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer than zero"):
        Duration.parse(text)


def test_an_end_after_the_year_9999_is_an_overflow() -> None:
    with pytest.raises(OverflowError):
        Duration.parse("P9000Y").after(datetime(2026, 1, 1, tzinfo=UTC))


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.integers(1, 600), st.integers(1, 600))  # noqa: DTZ001  made aware below
def test_more_months_never_end_earlier(start: datetime, few: int, more: int) -> None:
    start = start.replace(tzinfo=UTC)
    short, long = sorted((few, more))
    assert Duration.parse(f"P{short}M").after(start) <= Duration.parse(f"P{long}M").after(start)
