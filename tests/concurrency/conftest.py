"""Enables assertion rewriting in the race modules, which are not named `test_*`."""

import pytest

RACES = ("login_races", "seat_races", "term_races")
pytest.register_assert_rewrite(*(f"tests.concurrency.{name}" for name in RACES))
