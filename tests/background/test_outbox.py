"""The shared parts of the outboxes: waits between tries, and rows that do not affect each other."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from app.background import outbox
from app.background.outbox import Backoff, process_rows, retry_recording

NOW = datetime(2026, 3, 9, tzinfo=UTC)
BACKOFF = Backoff([timedelta(minutes=1), timedelta(minutes=4)], jitter=0.5)


@pytest.mark.parametrize(("tries", "chance", "minutes"), [(1, 0.0, 1), (1, 1.0, 1.5), (2, 0.0, 4), (2, 0.5, 5)])
def test_the_waits_grow_and_have_jitter(tries: int, chance: float, minutes: float) -> None:
    assert BACKOFF.next_try(tries, NOW, chance) == NOW + timedelta(minutes=minutes)


def test_after_the_last_try_a_row_is_given_up() -> None:
    assert BACKOFF.tries == 3
    assert BACKOFF.next_try(3, NOW) is None
    assert BACKOFF.next_try(9, NOW) is None


async def test_rows_do_not_affect_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result is recorded again while the database is unreachable, but not after an error of the program."""
    monkeypatch.setattr(outbox, "RECORD_DELAYS", (0.0, 0.0))
    attempts, recorded = Counter[str](), set[str]()

    async def process(row: str) -> None:
        if row == "not delivered":
            raise ValueError
        await retry_recording(partial(record, row), {"row": row})

    async def record(row: str) -> None:
        attempts[row] += 1
        if row == "program error":
            raise KeyError
        if row == "unreachable" or (row == "unreachable once" and attempts[row] == 1):
            raise OSError
        recorded.add(row)

    rows = ["good", "not delivered", "program error", "unreachable", "unreachable once"]
    await process_rows(rows, process, lambda row: {"row": row})
    assert recorded == {"good", "unreachable once"}
    assert attempts == {"good": 1, "program error": 1, "unreachable": 3, "unreachable once": 2}
