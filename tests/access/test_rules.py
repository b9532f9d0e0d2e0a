"""The decision by value: what helps never hurts, what is taken away never helps."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.access import rules
from app.access.rules import Facts, SessionFacts
from app.agreements.duties import Compliance, Standpoint
from app.catalog.models import Requirement
from app.licenses.rules import Asked, Seat, Standing

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SESSION = SessionFacts(True, active=True, email_verified=True, has_second_factor=True, second_factor_at=NOW, expires_at=NOW + 24 * HOUR)
LICENSE = Standing(
    license_id=UUID(int=1), product="studio", starts_at=NOW - HOUR, expires_at=None, grace_until=None, suspended_at=None, revoked_at=None,
    seat_by="device", max_seats=3, lease=None, max_users=None, features={}, requires=(), self_service=False, seats_used=1, assigned=True,
    seat=Seat(UUID(int=2), "laptop", None, None),
)  # fmt: skip
AGREED = Compliance(True, declined=False, outstanding=(), accepted=(), warnings=(), valid_until=None)
OWED = Compliance(False, declined=False, outstanding=(Standpoint(UUID(int=3), 1),), accepted=(), warnings=(), valid_until=None)
POSSIBLE = [item.value for item in Requirement if item is not Requirement.PASSKEY]

SESSIONS = st.none() | st.builds(
    SessionFacts, st.booleans(), active=st.booleans(), email_verified=st.booleans(), has_second_factor=st.booleans(),
    second_factor_at=st.sampled_from([None, NOW, NOW - 24 * HOUR]), expires_at=st.just(NOW + HOUR),
)  # fmt: skip
LICENSES = st.none() | st.builds(
    replace, st.just(LICENSE), revoked_at=st.sampled_from([None, NOW]), seat=st.sampled_from([None, LICENSE.seat]),
    max_users=st.sampled_from([None, 1]), assigned=st.booleans(), expires_at=st.sampled_from([None, NOW, NOW + HOUR]),
)  # fmt: skip
FACTS = st.builds(
    Facts, requires=st.lists(st.sampled_from(POSSIBLE), unique=True), session=SESSIONS,
    second_factor_lifetime=st.just(24 * HOUR), license=LICENSES,
    license_named=st.booleans(), asked=st.just(Asked("laptop")), agreements=st.sampled_from([AGREED, OWED]),
)  # fmt: skip
ORDER = [
    "user_disabled", "login_required", "email_unverified", "second_factor_required",
    "passkey_required", "license_not_found", "license_revoked",
    "license_expired", "user_not_assigned", "device_required", "not_activated", "agreement_required",
]  # fmt: skip


def codes(facts: Facts, now: datetime = NOW) -> list[str]:
    return [reason.code for reason in rules.decide(facts, now).reasons]


@given(FACTS)
def test_reasons_come_in_the_order_of_the_contract_each_once(facts: Facts) -> None:
    places = [ORDER.index(code) for code in codes(facts)]
    assert places == sorted(set(places))


@given(FACTS)
def test_identity_reasons_come_alone(facts: Facts) -> None:
    requirements = {reason.requirement for reason in rules.decide(facts, NOW).reasons}
    identity = {"login", "second_factor", "passkey"}
    assert not (requirements & identity) or requirements <= identity


@given(FACTS, st.sampled_from(POSSIBLE))
def test_one_requirement_more_never_turns_a_no_into_a_yes(facts: Facts, more: str) -> None:
    if not rules.decide(facts, NOW).allow:
        assert not rules.decide(replace(facts, requires=[*facts.requires, more]), NOW).allow


@given(FACTS)
def test_a_fact_less_never_turns_a_no_into_a_yes(facts: Facts) -> None:
    if rules.decide(facts, NOW).allow:
        return
    poorer = [replace(facts, agreements=OWED)]
    if facts.session is not None and facts.session.active:
        poorer += [replace(facts, session=None), replace(facts, session=replace(facts.session, second_factor_at=None))]
    if facts.license is not None and facts.license_named:
        poorer += [replace(facts, license=None), replace(facts, license=replace(facts.license, seat=None))]
    assert not any(rules.decide(it, NOW).allow for it in poorer)


@given(FACTS)
def test_all_that_is_required_is_met_in_an_allow(facts: Facts) -> None:
    decision = rules.decide(facts, NOW)
    if decision.allow and Requirement.SECOND_FACTOR in decision.requires:
        assert facts.session is not None
        assert facts.session.alive
        assert facts.session.second_factor_at == NOW
    if decision.allow and Requirement.EULA in decision.requires:
        assert facts.agreements.compliant


@given(FACTS)
def test_until_the_boundary_the_answer_stays(facts: Facts) -> None:
    decision = rules.decide(facts, NOW)
    if decision.check_again_at is not None:
        assert decision.check_again_at > NOW
        assert codes(facts, decision.check_again_at - timedelta(milliseconds=1)) == codes(facts)


def test_a_passkey_that_nobody_can_have_lets_nobody_in() -> None:
    facts = Facts(["passkey"], SESSION, 24 * HOUR, LICENSE, license_named=True, asked=Asked("laptop"), agreements=AGREED)
    assert codes(facts) == ["passkey_required"]
