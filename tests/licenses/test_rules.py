"""The one judgement, by value."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.licenses import rules
from app.licenses.rules import LicenseFacts, Seat, UseRequest

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SEAT = Seat(UUID(int=2), "laptop", None, None)
GOOD = LicenseFacts(
    license_id=UUID(int=1), product="studio", starts_at=NOW - DAY, expires_at=None, grace_until=None, suspended_at=None, revoked_at=None,
    seat_by="device", max_seats=3, lease=None, max_users=None, features={"export": True}, requires=(), self_service=False, seats_used=1,
    assigned=False, seat=SEAT,
)  # fmt: skip
HERE = UseRequest("laptop")


def codes(it: LicenseFacts, asked: UseRequest = HERE, now: datetime = NOW) -> list[str]:
    return [reason.code for reason in rules.evaluate(it, asked, now).reasons]


def warnings(it: LicenseFacts, now: datetime = NOW) -> list[str]:
    return [warned.code for warned in rules.evaluate(it, HERE, now).warnings]


def test_a_good_standing_has_nothing_against_it() -> None:
    assert codes(GOOD) == []


def test_r1_every_reason_comes_at_once_in_order() -> None:
    it = replace(GOOD, revoked_at=NOW, max_users=1, seat=None)
    assert codes(it, UseRequest("laptop", ["cloud"])) == ["license_revoked", "user_not_assigned", "not_activated", "feature_missing"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "active"),
        ({"starts_at": NOW + DAY}, "not_started"),
        ({"expires_at": NOW}, "expired"),
        ({"expires_at": NOW, "grace_until": NOW + DAY}, "in_grace"),
        ({"expires_at": NOW - DAY, "grace_until": NOW}, "expired"),
        ({"suspended_at": NOW, "expires_at": NOW - DAY}, "suspended"),
        ({"revoked_at": NOW, "suspended_at": NOW, "starts_at": NOW + DAY}, "revoked"),
    ],
)
def test_r17_r18_status_is_computed_in_a_fixed_order(change: dict[str, datetime], status: str) -> None:
    assert replace(GOOD, **change).status(NOW) == status  # type: ignore[arg-type]  # a table of fields


def test_r9_validity_is_half_open() -> None:
    it = replace(GOOD, starts_at=NOW, expires_at=NOW + DAY)
    tick = timedelta(milliseconds=1)
    assert [codes(it, now=moment) for moment in (NOW - tick, NOW, NOW + DAY - tick, NOW + DAY)] == [
        ["license_not_started"], [], [], ["license_expired"],
    ]  # fmt: skip


def test_r19_grace_allows_with_a_warning() -> None:
    it = replace(GOOD, expires_at=NOW, grace_until=NOW + DAY)
    assert codes(it) == []
    assert warnings(it) == ["in_grace"]


def test_r6_a_device_policy_wants_a_device() -> None:
    assert codes(replace(GOOD, seat=None), UseRequest()) == ["device_required"]


def test_r8_a_policy_without_seats_wants_none() -> None:
    assert codes(replace(GOOD, seat_by="none", max_seats=None, seat=None), UseRequest()) == []


@pytest.mark.parametrize(
    ("seat", "expected"),
    [
        (None, ["not_activated"]),
        (Seat(UUID(int=2), "laptop", None, NOW - DAY), ["not_activated"]),
        (Seat(UUID(int=2), "laptop", NOW, None), ["lease_expired"]),
        (Seat(UUID(int=2), "laptop", NOW + timedelta(milliseconds=1), None), []),
    ],
)
def test_r22_liveness_is_computed_at_read(seat: Seat | None, expected: list[str]) -> None:
    assert codes(replace(GOOD, lease="PT30M", seat=seat)) == expected


def test_r28_lowering_the_limit_keeps_seats_and_refuses_new_ones() -> None:
    it = replace(GOOD, max_seats=1, seats_used=3)
    assert codes(it) == []
    assert warnings(it) == ["over_limit"]
    assert not rules.has_free_seat(it)


@pytest.mark.parametrize(
    ("limit", "used", "free"), [(0, 0, False), (1, 0, True), (1, 1, False), ("unlimited", 10**6, True), (None, 0, False)]
)
def test_r29_zero_none_and_unlimited_are_three_things(limit: int | str | None, used: int, free: bool) -> None:
    assert rules.has_free_seat(replace(GOOD, max_seats=limit, seats_used=used)) is free  # type: ignore[arg-type]  # a table of limits


def test_r37_a_lease_is_renewed_when_half_of_it_is_gone() -> None:
    it = replace(GOOD, lease="PT30M", seat=Seat(UUID(int=2), "laptop", NOW + timedelta(minutes=16), None))
    assert not rules.is_renewal_due(it, NOW)
    assert rules.is_renewal_due(it, NOW + timedelta(minutes=1))


def test_a_seat_of_another_device_is_not_this_devices() -> None:
    assert codes(GOOD, UseRequest("phone")) == ["not_activated"]
    assert codes(GOOD, UseRequest()) == []


def test_where_a_seat_is_required_a_policy_without_seats_lets_nobody_in() -> None:
    it = replace(GOOD, seat_by="none", max_seats=None, seat=None)
    assert codes(it, UseRequest("laptop", seat="always")) == ["not_activated"]
    assert codes(GOOD, UseRequest(seat="never")) == codes(replace(GOOD, seat=None), UseRequest(seat="never")) == []


def test_a_lease_that_came_or_went_is_due() -> None:
    assert rules.is_renewal_due(replace(GOOD, lease="PT30M"), NOW)
    assert rules.is_renewal_due(replace(GOOD, seat=Seat(UUID(int=2), "laptop", NOW + DAY, None)), NOW)
    assert not rules.is_renewal_due(GOOD, NOW)


MOMENTS = st.none() | st.integers(-40, 40).map(lambda days: NOW + days * DAY)
STANDINGS = st.builds(
    replace, st.just(GOOD), starts_at=st.integers(-40, 40).map(lambda days: NOW + days * DAY), expires_at=MOMENTS, grace_until=st.none(),
    suspended_at=MOMENTS, revoked_at=MOMENTS, lease=st.sampled_from([None, "P2D", "P30D"]),
    max_users=st.sampled_from([None, 1, "unlimited"]),
    assigned=st.booleans(), seat=st.none() | st.builds(Seat, st.just(UUID(int=2)), st.just("laptop"), MOMENTS, MOMENTS),
)  # fmt: skip


@given(STANDINGS)
def test_check_again_at_is_never_late(it: LicenseFacts) -> None:
    """Until the boundary, the answer stays as it is; only a lease's half may pass unnoticed, and that is a warning."""
    verdict = rules.evaluate(it, HERE, NOW)
    until = verdict.check_again_at or NOW + 100 * DAY
    assert until > NOW
    just_before = until - timedelta(milliseconds=1)
    assert [reason.code for reason in rules.evaluate(it, HERE, just_before).reasons] == [reason.code for reason in verdict.reasons]


def told(it: LicenseFacts, now: datetime) -> tuple[Any, ...]:
    """All that an answer tells of the license."""
    verdict = rules.evaluate(it, HERE, now)
    return it.status(now), verdict.reasons, [warned.code for warned in verdict.warnings if warned.code != rules.LEASE_ENDING]


@given(STANDINGS, st.sampled_from([None, 5 * DAY]))
def test_check_again_at_is_exact(it: LicenseFacts, grace: timedelta | None) -> None:
    """Just before it the answer is as it is now, at it the answer is another one. Without it, nothing ever changes."""
    assume(it.expires_at is None or (it.starts_at is not None and it.starts_at < it.expires_at))
    it = replace(it, grace_until=it.expires_at + grace if it.expires_at and grace else None)
    until = rules.find_next_change(it, NOW)
    assert told(it, until - timedelta(milliseconds=1) if until else NOW + 1000 * DAY) == told(it, NOW)
    assert until is None or told(it, until) != told(it, NOW)


@given(STANDINGS)
def test_taking_a_fact_away_never_helps(it: LicenseFacts) -> None:
    if rules.evaluate(it, HERE, NOW).reasons:
        for worse in (replace(it, seat=None), replace(it, assigned=False), replace(it, revoked_at=NOW), replace(it, features={})):
            assert rules.evaluate(worse, HERE, NOW).reasons
