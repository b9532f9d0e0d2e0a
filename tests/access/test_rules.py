"""The access decision by value: more facts never hurt, fewer facts never help, and time moves each reason in one direction."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st

from app.access import rules
from app.access.rules import AccessDecision, AccessFacts
from app.agreements.obligations import NOTHING_OWED, Compliance, DocumentOrdinal
from app.catalog.models import Requirement
from app.licenses.rules import LEASE_ENDING, UseRequest
from tests.access.facts import ALL, DAY, FACTOR_LIFETIME, HOUR, LICENSE, NOW, SCENARIOS, SESSION, Scenario

TICK = timedelta(milliseconds=1)
NOT_COMPLIANT = Compliance(
    False, declined=False, outstanding=(DocumentOrdinal(LICENSE.license_id, 1),), accepted=(), warnings=(), valid_until=None
)
ALL_MET = AccessFacts(
    ALL, SESSION, FACTOR_LIFETIME, LICENSE, names_license=True, use=UseRequest("laptop", [], True), agreements=NOTHING_OWED
)
ORDER = [
    "user_disabled", "login_required", "email_unverified", "second_factor_required", "passkey_required", "license_not_found",
    "license_revoked", "license_suspended", "license_not_started", "license_expired", "user_not_assigned",
    "device_required", "not_activated", "lease_expired", "feature_missing", "agreement_required", "agreement_declined",
]  # fmt: skip
"""The order of the reasons in the API contract."""
LOGIN_REASONS = set(ORDER[:5])


def codes(facts: AccessFacts, now: datetime = NOW) -> list[str]:
    return [reason.code for reason in rules.decide(facts, now).reasons]


@given(SCENARIOS)
def test_reasons_come_in_the_order_of_the_contract_without_repeats(scenario: Scenario) -> None:
    reasons = codes(scenario.at(NOW))
    places = [ORDER.index(code) for code in reasons]
    assert places == sorted(set(places))
    assert len(reasons) == len(set(reasons))


@given(SCENARIOS)
def test_login_reasons_come_alone(scenario: Scenario) -> None:
    """Including those that only a license with user seats gives."""
    reasons = set(codes(scenario.at(NOW)))
    assert not (reasons & LOGIN_REASONS) or reasons <= LOGIN_REASONS


@given(SCENARIOS)
def test_requirements_met_one_by_one_are_met_together(scenario: Scenario) -> None:
    facts = scenario.at(NOW)
    met = [each for each in ALL if rules.decide(replace(facts, requires=[each]), NOW).allow]
    assert not met or codes(replace(facts, requires=met)) == []


@given(st.lists(st.sampled_from(ALL), unique=True))
def test_meeting_every_requirement_allows_any_combination(requires: list[str]) -> None:
    assert codes(replace(ALL_MET, requires=requires)) == []


@given(SCENARIOS, st.sampled_from(ALL))
def test_one_more_requirement_never_turns_a_refusal_into_access(scenario: Scenario, more: str) -> None:
    facts = scenario.at(NOW)
    assume(not rules.decide(facts, NOW).allow)
    assert not rules.decide(replace(facts, requires=[*facts.requires, more]), NOW).allow


def remove_facts(facts: AccessFacts) -> dict[str, AccessFacts]:
    """Return variants of the facts with one fact removed each, by name.

    A closed account and an optional license are no facts in favour of access, so nothing of them is removed.
    """
    less = {"agreements": replace(facts, agreements=NOT_COMPLIANT)}
    if (session := facts.session) is not None and session.active:
        session_changes: Mapping[str, Mapping[str, Any]] = {
            "life": {"alive": False}, "address": {"email_verified": False}, "second factor": {"second_factor_at": None},
            "device of the second factor": {"has_second_factor": False}, "passkey": {"passkey_at": None},
            "its device": {"has_passkey": False},
        }  # fmt: skip
        less["session"] = replace(facts, session=None)
        less |= {name: replace(facts, session=replace(session, **changes)) for name, changes in session_changes.items()}
    if (license_ := facts.license) is not None and facts.names_license:
        license_changes: Mapping[str, Mapping[str, Any]] = {
            "seat": {"seat": None},
            "assignment": {"assigned": False},
            "features": {"features": {}},
        }
        less["license"] = replace(facts, license=None)
        less |= {name: replace(facts, license=replace(license_, **changes)) for name, changes in license_changes.items()}
    return less


@given(SCENARIOS)
def test_one_fact_less_never_turns_a_refusal_into_access(scenario: Scenario) -> None:
    facts = scenario.at(NOW)
    assume(not rules.decide(facts, NOW).allow)
    assert [name for name, less in remove_facts(facts).items() if rules.decide(less, NOW).allow] == []


def test_where_everything_is_required_each_fact_is_needed() -> None:
    needed = {"agreements", "session", "life", "address", "second factor", "passkey", "license", "seat"}
    assert {name for name, less in remove_facts(ALL_MET).items() if not rules.decide(less, NOW).allow} == needed


DIRECTIONS = {
    "license_not_started": "disappears", "license_expired": "appears", "lease_expired": "appears", "second_factor_required": "appears",
    "passkey_required": "appears", "login_required": "appears", "not_compliant": "appears",
}  # fmt: skip
TIMES = [
    NOW - 30 * DAY,
    NOW - HOUR,
    NOW,
    NOW + TICK,
    NOW + HOUR,
    NOW + 2 * HOUR,
    NOW + DAY,
    NOW + 13 * DAY,
    NOW + 40 * DAY,
    NOW + 99 * DAY,
]


def find_all_reasons(facts: AccessFacts, now: datetime) -> set[str]:
    """Collect the reasons of each check alone, not hidden by earlier checks."""
    return {reason.code for check in (*rules._LOGIN_CHECKS, *rules._OTHER_CHECKS) for reason in check(facts, frozenset(ALL), now)}


def find_reasons(facts: AccessFacts, now: datetime) -> set[str]:
    """Collect the same, with both agreement reasons as one, because a later version replaces a decline."""
    reasons = find_all_reasons(facts, now)
    agreement_reasons = {code for code in reasons if code.startswith("agreement_")}
    return (reasons - agreement_reasons) | ({"not_compliant"} if agreement_reasons else set())


@given(SCENARIOS)
def test_time_alone_moves_each_reason_in_one_direction(scenario: Scenario) -> None:
    """Only while the session is live: after its end there are no reasons about its factors."""
    end = scenario.facts.session.expires_at if scenario.facts.session is not None else None
    times = [time for time in TIMES if end is None or (time < end) == (end > NOW)]
    reasons = [find_reasons(scenario.at(now), now) for now in times]
    for before, after in pairwise(reasons):
        assert {DIRECTIONS.get(code, "stays") for code in after - before} <= {"appears"}
        assert {DIRECTIONS.get(code, "stays") for code in before - after} <= {"disappears"}


def read_result(facts: AccessFacts, now: datetime) -> tuple[Any, ...]:
    """Collect everything in a response that time can change, except the warning about half of a lease, which the request renews."""
    decision: AccessDecision = rules.decide(facts, now)
    is_logged_in = facts.session is not None and facts.session.is_logged_in(now)
    license_state = (facts.license.status(now), facts.license.seat.is_live(now) if facts.license.seat else None) if facts.license else None
    assurance = (rules._has_fresh_second_factor(facts, now), _passkey(facts, now)) if is_logged_in else None
    return (
        decision.reasons,
        [warning for warning in decision.warnings if warning.code != LEASE_ENDING],
        is_logged_in,
        assurance,
        license_state,
        is_logged_in and _agreed(facts),
    )


def _passkey(facts: AccessFacts, now: datetime) -> bool:
    return rules._is_fresh(facts, facts.session.passkey_at if facts.session else None, now)


def _agreed(facts: AccessFacts) -> tuple[Any, ...]:
    return facts.agreements.compliant, facts.agreements.outstanding, facts.agreements.warnings


@given(SCENARIOS)
def test_check_again_at_is_exact(scenario: Scenario) -> None:
    """The result is unchanged just before it and different at it. If it is None, the result never changes."""
    now, until = read_result(scenario.at(NOW), NOW), rules.decide(scenario.at(NOW), NOW).check_again_at
    if until is None:
        assert read_result(scenario.at(NOW + 1000 * DAY), NOW + 1000 * DAY) == now
        return
    assert until > NOW
    assert read_result(scenario.at(until - TICK), until - TICK) == now
    assert read_result(scenario.at(until), until) != now


@pytest.mark.parametrize("code", ORDER)
def test_the_scenarios_contain_every_reason(code: str) -> None:
    find(
        SCENARIOS,
        lambda scenario: code in find_all_reasons(scenario.at(NOW), NOW),
        settings=settings(max_examples=2000, phases=[Phase.generate]),
    )


def test_an_action_that_starts_with_a_request_has_its_path() -> None:
    nothing = replace(ALL_MET, session=None, license=None)
    [reason] = rules.decide(nothing, NOW).reasons
    assert (reason.action, reason.facts["href"]) == ("log_in", "/v1/login")
    no_factor = replace(ALL_MET, session=replace(SESSION, second_factor_at=None, passkey_at=None))
    reasons = [(reason.code, reason.action, reason.facts["acr"], reason.facts["href"]) for reason in rules.decide(no_factor, NOW).reasons]
    assert reasons == [
        ("second_factor_required", "step_up", "aal2", "/v1/step-up"), ("passkey_required", "step_up", "aal2p", "/v1/step-up"),
    ]  # fmt: skip
    no_passkey = replace(ALL_MET, session=replace(SESSION, has_passkey=False, passkey_at=None))
    assert [(reason.action, reason.facts["href"]) for reason in rules.decide(no_passkey, NOW).reasons] == [
        ("enroll_passkey", "/v1/me/passkeys/options")
    ]


def test_the_requirements_are_those_of_the_contract() -> None:
    assert {item.value for item in Requirement} == {"license", "activation", "login", "second_factor", "passkey", "eula"}
