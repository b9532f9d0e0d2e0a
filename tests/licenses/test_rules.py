"""The evaluation of a license, by value."""

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


def codes(license_: LicenseFacts, use: UseRequest = HERE, now: datetime = NOW) -> list[str]:
    return [reason.code for reason in rules.evaluate(license_, use, now).reasons]


def warnings(license_: LicenseFacts, now: datetime = NOW) -> list[str]:
    return [warning.code for warning in rules.evaluate(license_, HERE, now).warnings]


def test_a_valid_license_has_no_reason_against_it() -> None:
    assert codes(GOOD) == []


def test_r1_every_reason_comes_at_once_in_order() -> None:
    license_ = replace(GOOD, revoked_at=NOW, max_users=1, seat=None)
    assert codes(license_, UseRequest("laptop", ["cloud"])) == ["license_revoked", "user_not_assigned", "not_activated", "feature_missing"]


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
    license_ = replace(GOOD, starts_at=NOW, expires_at=NOW + DAY)
    tick = timedelta(milliseconds=1)
    assert [codes(license_, now=time) for time in (NOW - tick, NOW, NOW + DAY - tick, NOW + DAY)] == [
        ["license_not_started"], [], [], ["license_expired"],
    ]  # fmt: skip


def test_r19_grace_allows_with_a_warning() -> None:
    license_ = replace(GOOD, expires_at=NOW, grace_until=NOW + DAY)
    assert codes(license_) == []
    assert warnings(license_) == ["in_grace"]


def test_r6_a_device_policy_requires_a_device() -> None:
    assert codes(replace(GOOD, seat=None), UseRequest()) == ["device_required"]


def test_r8_a_policy_without_seats_requires_no_device() -> None:
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
def test_r22_a_live_seat_is_determined_when_it_is_read(seat: Seat | None, expected: list[str]) -> None:
    assert codes(replace(GOOD, lease="PT30M", seat=seat)) == expected


def test_r28_lowering_the_limit_keeps_seats_and_refuses_new_ones() -> None:
    license_ = replace(GOOD, max_seats=1, seats_used=3)
    assert codes(license_) == []
    assert warnings(license_) == ["over_limit"]
    assert not rules.has_free_seat(license_)


@pytest.mark.parametrize(
    ("limit", "used", "free"), [(0, 0, False), (1, 0, True), (1, 1, False), ("unlimited", 10**6, True), (None, 0, False)]
)
def test_r29_zero_none_and_unlimited_are_three_things(limit: int | str | None, used: int, free: bool) -> None:
    assert rules.has_free_seat(replace(GOOD, max_seats=limit, seats_used=used)) is free  # type: ignore[arg-type]  # a table of limits


def test_r37_a_lease_is_due_for_renewal_after_half_of_it() -> None:
    license_ = replace(GOOD, lease="PT30M", seat=Seat(UUID(int=2), "laptop", NOW + timedelta(minutes=16), None))
    assert not rules.is_renewal_due(license_, NOW)
    assert rules.is_renewal_due(license_, NOW + timedelta(minutes=1))


def test_the_seat_of_another_device_does_not_count() -> None:
    assert codes(GOOD, UseRequest("phone")) == ["not_activated"]
    assert codes(GOOD, UseRequest()) == []


def test_a_policy_without_seats_fails_where_a_seat_is_required() -> None:
    license_ = replace(GOOD, seat_by="none", max_seats=None, seat=None)
    assert codes(license_, UseRequest("laptop", seat="always")) == ["not_activated"]
    assert codes(GOOD, UseRequest(seat="never")) == codes(replace(GOOD, seat=None), UseRequest(seat="never")) == []


def test_a_seat_is_due_for_renewal_when_its_policy_gains_or_loses_a_lease() -> None:
    assert rules.is_renewal_due(replace(GOOD, lease="PT30M"), NOW)
    assert rules.is_renewal_due(replace(GOOD, seat=Seat(UUID(int=2), "laptop", NOW + DAY, None)), NOW)
    assert not rules.is_renewal_due(GOOD, NOW)


TIMES = st.none() | st.integers(-40, 40).map(lambda days: NOW + days * DAY)
LICENSES = st.builds(
    replace, st.just(GOOD), starts_at=st.integers(-40, 40).map(lambda days: NOW + days * DAY), expires_at=TIMES, grace_until=st.none(),
    suspended_at=TIMES, revoked_at=TIMES, lease=st.sampled_from([None, "P2D", "P30D"]),
    max_users=st.sampled_from([None, 1, "unlimited"]),
    assigned=st.booleans(), seat=st.none() | st.builds(Seat, st.just(UUID(int=2)), st.just("laptop"), TIMES, TIMES),
)  # fmt: skip


@given(LICENSES)
def test_reasons_do_not_change_before_check_again_at(license_: LicenseFacts) -> None:
    """Only the warning about half of a lease may change earlier."""
    verdict = rules.evaluate(license_, HERE, NOW)
    until = verdict.check_again_at or NOW + 100 * DAY
    assert until > NOW
    just_before = until - timedelta(milliseconds=1)
    assert [reason.code for reason in rules.evaluate(license_, HERE, just_before).reasons] == [reason.code for reason in verdict.reasons]


def read_result(license_: LicenseFacts, now: datetime) -> tuple[Any, ...]:
    """Collect everything that a response contains about the license, except the warning about half of a lease."""
    verdict = rules.evaluate(license_, HERE, now)
    return license_.status(now), verdict.reasons, [warning.code for warning in verdict.warnings if warning.code != rules.LEASE_ENDING]


@given(LICENSES, st.sampled_from([None, 5 * DAY]))
def test_check_again_at_is_exact(license_: LicenseFacts, grace: timedelta | None) -> None:
    """The result is unchanged just before it and different at it. If it is None, the result never changes."""
    assume(license_.expires_at is None or (license_.starts_at is not None and license_.starts_at < license_.expires_at))
    license_ = replace(license_, grace_until=license_.expires_at + grace if license_.expires_at and grace else None)
    until = rules.find_next_change(license_, NOW)
    assert read_result(license_, until - timedelta(milliseconds=1) if until else NOW + 1000 * DAY) == read_result(license_, NOW)
    assert until is None or read_result(license_, until) != read_result(license_, NOW)


@given(LICENSES)
def test_removing_a_fact_never_makes_a_license_valid(license_: LicenseFacts) -> None:
    if rules.evaluate(license_, HERE, NOW).reasons:
        for worse in (
            replace(license_, seat=None),
            replace(license_, assigned=False),
            replace(license_, revoked_at=NOW),
            replace(license_, features={}),
        ):
            assert rules.evaluate(worse, HERE, NOW).reasons
