"""TOTP steps and assurance levels as pure functions, with the test vectors of RFC 6238 appendix B."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from app.login import rules
from app.login.rules import Proofs

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_vectors_of_rfc_6238(seconds: int, code: str) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    assert rules.find_time_step(SECRET, code, now, 0) == seconds // 30


@pytest.mark.parametrize(
    ("offset", "skew", "fits"), [(0, 1, True), (30, 1, True), (-30, 1, True), (60, 1, False), (-60, 1, False), (30, 0, False)]
)
def test_r14_a_code_may_be_one_step_early_or_late(offset: int, skew: int, fits: bool) -> None:
    now = datetime.fromtimestamp(1111111111 + offset, UTC)
    assert (rules.find_time_step(SECRET, "050471", now, skew) is not None) is fits


@pytest.mark.parametrize("code", ["", "05047", "0504711", "０５０４７１", "٠٥٠٤٧١", "05047a", "050471\n", "-50471", "\ud800", "05 04 7"])
def test_r17_a_code_is_exactly_six_ascii_digits(code: str) -> None:
    assert rules.find_time_step(SECRET, code, datetime.fromtimestamp(1111111111, UTC), 1) is None


def test_r17_spaces_in_a_code_are_ignored() -> None:
    assert rules.find_time_step(SECRET, "050 471", datetime.fromtimestamp(1111111111, UTC), 0) is not None


def test_r56_assurance_expires_while_the_session_continues() -> None:
    now, day = datetime(2026, 1, 1, tzinfo=UTC), timedelta(hours=24)
    assert rules.compute_acr(Proofs(now, None), now, day) == "aal1"
    assert rules.compute_acr(Proofs(now, now), now + day - timedelta(milliseconds=1), day) == "aal2"
    assert rules.compute_acr(Proofs(now, now), now + day, day) == "aal1"
