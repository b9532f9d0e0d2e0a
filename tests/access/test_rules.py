"""The decision by value: what helps never hurts, what is taken away never helps, and time has one direction."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st

from app.access import rules
from app.access.rules import AccessFacts, Decision
from app.agreements.obligations import NOTHING_OWED, Compliance, DocumentOrdinal
from app.catalog.models import Requirement
from app.licenses.rules import LEASE_ENDING, UseRequest
from tests.access.facts import ALL, DAY, HOUR, LASTING, LICENSE, NOW, SESSION, STORIES, Story

TICK = timedelta(milliseconds=1)
OWED = Compliance(False, declined=False, outstanding=(DocumentOrdinal(LICENSE.license_id, 1),), accepted=(), warnings=(), valid_until=None)
MET = AccessFacts(ALL, SESSION, LASTING, LICENSE, license_named=True, use=UseRequest("laptop", [], True), agreements=NOTHING_OWED)
ORDER = [
    "user_disabled", "login_required", "email_unverified", "second_factor_required", "passkey_required", "license_not_found",
    "license_revoked", "license_suspended", "license_not_started", "license_expired", "user_not_assigned",
    "device_required", "not_activated", "lease_expired", "feature_missing", "agreement_required", "agreement_declined",
]  # fmt: skip
"""The table of the contract, read downwards."""
IDENTITY = set(ORDER[:5])


def codes(facts: AccessFacts, now: datetime = NOW) -> list[str]:
    return [reason.code for reason in rules.decide(facts, now).reasons]


@given(STORIES)
def test_reasons_come_in_the_order_of_the_contract_each_once(story: Story) -> None:
    found = codes(story.at(NOW))
    places = [ORDER.index(code) for code in found]
    assert places == sorted(set(places))
    assert len(found) == len(set(found))


@given(STORIES)
def test_identity_reasons_come_alone(story: Story) -> None:
    """Also those that only the license can give, which seats users."""
    found = set(codes(story.at(NOW)))
    assert not (found & IDENTITY) or found <= IDENTITY


@given(STORIES)
def test_a_requirement_that_is_met_never_changes_an_allow(story: Story) -> None:
    """What is met one by one is met together."""
    facts = story.at(NOW)
    met = [each for each in ALL if rules.decide(replace(facts, requires=[each]), NOW).allow]
    assert not met or codes(replace(facts, requires=met)) == []


@given(st.lists(st.sampled_from(ALL), unique=True))
def test_who_has_met_everything_is_let_in_by_any_combination(requires: list[str]) -> None:
    assert codes(replace(MET, requires=requires)) == []


@given(STORIES, st.sampled_from(ALL))
def test_one_requirement_more_never_turns_a_no_into_a_yes(story: Story, more: str) -> None:
    facts = story.at(NOW)
    assume(not rules.decide(facts, NOW).allow)
    assert not rules.decide(replace(facts, requires=[*facts.requires, more]), NOW).allow


def poorer(facts: AccessFacts) -> dict[str, AccessFacts]:
    """The facts with one of them taken away, by what it was. A closed account is no fact in anybody's favour, nor is a license that
    nobody asks for."""
    less = {"agreements": replace(facts, agreements=OWED)}
    if (it := facts.session) is not None and it.active:
        session: Mapping[str, Mapping[str, Any]] = {
            "life": {"alive": False}, "address": {"email_verified": False}, "second factor": {"second_factor_at": None},
            "device of the second factor": {"has_second_factor": False}, "passkey": {"passkey_at": None},
            "its device": {"has_passkey": False},
        }  # fmt: skip
        less["session"] = replace(facts, session=None)
        less |= {name: replace(facts, session=replace(it, **taken)) for name, taken in session.items()}
    if (own := facts.license) is not None and facts.license_named:
        license_: Mapping[str, Mapping[str, Any]] = {
            "seat": {"seat": None},
            "assignment": {"assigned": False},
            "features": {"features": {}},
        }
        less["license"] = replace(facts, license=None)
        less |= {name: replace(facts, license=replace(own, **taken)) for name, taken in license_.items()}
    return less


@given(STORIES)
def test_a_fact_less_never_turns_a_no_into_a_yes(story: Story) -> None:
    facts = story.at(NOW)
    assume(not rules.decide(facts, NOW).allow)
    assert [name for name, less in poorer(facts).items() if rules.decide(less, NOW).allow] == []


def test_where_everything_is_required_each_fact_is_needed() -> None:
    needed = {"agreements", "session", "life", "address", "second factor", "passkey", "license", "seat"}
    assert {name for name, less in poorer(MET).items() if not rules.decide(less, NOW).allow} == needed


DIRECTIONS = {
    "license_not_started": "goes", "license_expired": "comes", "lease_expired": "comes", "second_factor_required": "comes",
    "passkey_required": "comes", "login_required": "comes", "not_compliant": "comes",
}  # fmt: skip
MOMENTS = [
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


def said(facts: AccessFacts, now: datetime) -> set[str]:
    """What each check says by itself, unmasked by those before it."""
    return {reason.code for check in (*rules._LOGIN_CHECKS, *rules._OTHER_CHECKS) for reason in check(facts, frozenset(ALL), now)}


def against(facts: AccessFacts, now: datetime) -> set[str]:
    """The same; both words about agreements are one here, for a decline is overtaken by a later version."""
    found = said(facts, now)
    agreed = {code for code in found if code.startswith("agreement_")}
    return (found - agreed) | ({"not_compliant"} if agreed else set())


@given(STORIES)
def test_time_alone_moves_each_reason_in_one_direction(story: Story) -> None:
    """While the session lives: with its end, nothing is said any more about what was shown in it."""
    end = story.facts.session.expires_at if story.facts.session is not None else None
    moments = [it for it in MOMENTS if end is None or (it < end) == (end > NOW)]
    told = [against(story.at(now), now) for now in moments]
    for before, after in pairwise(told):
        assert {DIRECTIONS.get(code, "stays") for code in after - before} <= {"comes"}
        assert {DIRECTIONS.get(code, "stays") for code in before - after} <= {"goes"}


def answer(facts: AccessFacts, now: datetime) -> tuple[Any, ...]:
    """All that an answer tells and that time alone can change; a lease that is half gone is advice that asking itself acts on."""
    it: Decision = rules.decide(facts, now)
    here = facts.session is not None and facts.session.is_logged_in(now)
    standing = (facts.license.status(now), facts.license.seat.is_live(now) if facts.license.seat else None) if facts.license else None
    assurance = (rules._has_fresh_second_factor(facts, now), _passkey(facts, now)) if here else None
    return it.reasons, [warned for warned in it.warnings if warned.code != LEASE_ENDING], here, assurance, standing, here and _agreed(facts)


def _passkey(facts: AccessFacts, now: datetime) -> bool:
    return rules._is_fresh(facts, facts.session.passkey_at if facts.session else None, now)


def _agreed(facts: AccessFacts) -> tuple[Any, ...]:
    return facts.agreements.compliant, facts.agreements.outstanding, facts.agreements.warnings


@given(STORIES)
def test_check_again_at_is_exact(story: Story) -> None:
    """Just before it the answer is what it is now; at it, the answer is another one. Without it, the answer stays for ever."""
    now, until = answer(story.at(NOW), NOW), rules.decide(story.at(NOW), NOW).check_again_at
    if until is None:
        assert answer(story.at(NOW + 1000 * DAY), NOW + 1000 * DAY) == now
        return
    assert until > NOW
    assert answer(story.at(until - TICK), until - TICK) == now
    assert answer(story.at(until), until) != now


@pytest.mark.parametrize("code", ORDER)
def test_every_reason_of_the_table_is_among_the_stories(code: str) -> None:
    find(STORIES, lambda story: code in said(story.at(NOW), NOW), settings=settings(max_examples=2000, phases=[Phase.generate]))


def test_what_is_asked_for_by_a_call_says_where() -> None:
    nothing = replace(MET, session=None, license=None)
    [reason] = rules.decide(nothing, NOW).reasons
    assert (reason.action, reason.facts["href"]) == ("log_in", "/v1/login")
    weak = replace(MET, session=replace(SESSION, second_factor_at=None, passkey_at=None))
    told = [(it.code, it.action, it.facts["acr"], it.facts["href"]) for it in rules.decide(weak, NOW).reasons]
    assert told == [
        ("second_factor_required", "step_up", "aal2", "/v1/step-up"), ("passkey_required", "step_up", "aal2p", "/v1/step-up"),
    ]  # fmt: skip
    bare = replace(MET, session=replace(SESSION, has_passkey=False, passkey_at=None))
    assert [(it.action, it.facts["href"]) for it in rules.decide(bare, NOW).reasons] == [("enroll_passkey", "/v1/me/passkeys/options")]


def test_the_requirements_are_those_of_the_contract() -> None:
    assert {item.value for item in Requirement} == {"license", "activation", "login", "second_factor", "passkey", "eula"}
