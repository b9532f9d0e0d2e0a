"""Texts, compliance through time, and what may be published, by value."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agreements import obligations, rules
from app.agreements.models import EventType
from app.agreements.obligations import Obligation, Version
from app.agreements.rules import Publication
from app.base.problems import Fact

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DOCUMENT = UUID(int=1)


def day(number: float) -> datetime:
    return NOW + timedelta(days=number)


def version(ordinal: int, change_class: str = "material", at: float = -100, grace: float | None = None) -> Version:
    return Version(UUID(int=ordinal), ordinal, change_class, day(at), None if grace is None else day(grace))


def make_obligation(accepted: int, *versions: Version, declined: int = 0) -> Obligation:
    return Obligation(DOCUMENT, accepted, declined, versions)


def codes(*several: Obligation, now: datetime = NOW) -> list[str]:
    return [advice.code for advice in obligations.assess_compliance(several, now).warnings]


@given(st.text())
def test_r1_a_text_is_normalised_once(body: str) -> None:
    """Agreements R1: NFC, LF, a final line end; repeating it changes nothing, so hashes stay equal."""
    text = rules.normalise(body)
    assert text.endswith("\n")
    assert "\r" not in text
    assert rules.normalise(text) == text


def test_r1_hashes() -> None:
    """Agreements R1: lower-case hexadecimal SHA-256 over the UTF-8 bytes."""
    assert rules.normalise("a\r\nb\rcafe\u0301") == "a\nb\ncaf\u00e9\n"
    assert rules.digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert rules.digest_statement("I agree", "Yes", "No") == rules.digest("I agree\nYes\nNo")


def test_r8_the_latest_material_version_in_effect_is_required() -> None:
    """Agreements R8: notice and editorial versions keep an acceptance valid; a scheduled one requires nothing yet."""
    versions = (version(1), version(2, "editorial"), version(3), version(4, "notice"), version(5, at=10))
    assert make_obligation(0, *versions).required_ordinal(NOW) == 3
    assert make_obligation(2, *versions).required_ordinal(NOW) == 3
    assert make_obligation(3, *versions).required_ordinal(NOW) == 0
    assert make_obligation(3, *versions).required_ordinal(day(10)) == 5


def test_r9_scheduled_effective_grace_over() -> None:
    """Agreements R9, R20: one material version with grace over time, for a user who accepted the first."""
    each = make_obligation(1, version(1), version(2, at=10, grace=20))
    result = [
        (agreement.compliant, len(agreement.outstanding), [advice.code for advice in agreement.warnings], agreement.valid_until)
        for agreement in (obligations.assess_compliance([each], day(number)) for number in (0, 9.99, 10, 19.99, 20, 21))
    ]
    assert result == [
        (True, 0, [obligations.AGREEMENT_UPCOMING], day(10)),
        (True, 0, [obligations.AGREEMENT_UPCOMING], day(10)),
        (True, 1, [obligations.AGREEMENT_IN_GRACE], day(20)),
        (True, 1, [obligations.AGREEMENT_IN_GRACE], day(20)),
        (False, 1, [], None),
        (False, 1, [], None),
    ]
    assert [each.status(day(number)) for number in (0, 10, 20)] == ["accepted", "in_grace", "required"]


def test_r9_no_grace_without_an_acceptance() -> None:
    """Agreements R9: a user without an acceptance gets no grace."""
    agreement = obligations.assess_compliance([make_obligation(0, version(1), version(2, grace=30))], NOW)
    assert not agreement.compliant
    assert agreement.outstanding == ((DOCUMENT, 2),)
    assert agreement.valid_until is None


def test_r9_grace_is_not_borrowed() -> None:
    """Agreements R9: the deadline is the earliest of all owed versions; the next version's grace does not extend it."""
    each = make_obligation(1, version(1), version(2, at=-50, grace=5), version(3, at=-1, grace=60))
    assert each.grace_end(NOW) == day(5)
    assert not obligations.assess_compliance([each], day(5)).compliant
    without = make_obligation(1, version(2, at=-50), version(3, at=-1, grace=60))
    assert not obligations.assess_compliance([without], NOW).compliant


def test_r9_grace_ends_as_it_says() -> None:
    """At `grace_until` exactly, grace is over."""
    each = make_obligation(1, version(2, at=-1, grace=5))
    assert obligations.assess_compliance([each], day(5) - timedelta(milliseconds=1)).compliant
    assert not obligations.assess_compliance([each], day(5)).compliant


def test_r11_a_notice_only_informs() -> None:
    """Agreements R11: allowed with a warning for users with an acceptance; an editorial version has no warning."""
    assert codes(make_obligation(1, version(2, "notice", -1), version(3, "editorial", -1))) == [obligations.CHANGE_NOTICE]
    assert codes(make_obligation(2, version(3, "editorial", -1))) == []
    assert codes(make_obligation(0, version(1), version(2, "notice", -1))) == []
    scheduled = obligations.assess_compliance([make_obligation(1, version(2, "notice", 3))], NOW)
    assert (scheduled.warnings, scheduled.valid_until) == ((), day(3))
    assert obligations.assess_compliance([make_obligation(1, version(2, "editorial", 3))], NOW).valid_until is None


def test_r11_facts() -> None:
    agreement = obligations.assess_compliance([make_obligation(1, version(2, at=-1, grace=5), version(3, at=4.5))], NOW)
    document = str(DOCUMENT)
    expected: list[tuple[str, dict[str, Fact]]] = [
        (obligations.AGREEMENT_IN_GRACE, {"document": document, "ordinal": 2, "grace_until": "2026-05-06T00:00:00.000Z"}),
        (obligations.AGREEMENT_UPCOMING, {"document": document, "ordinal": 3, "effective_at": "2026-05-05T12:00:00.000Z"}),
    ]
    assert [tuple(advice) for advice in agreement.warnings] == expected
    assert agreement.valid_until == day(4.5)


@pytest.mark.parametrize(
    ("each", "declined", "status"),
    [
        (make_obligation(0, version(1), declined=1), True, "declined"),
        (make_obligation(0, version(1), version(2, at=-1), declined=1), False, "required"),
        (make_obligation(1, version(2, at=-1), declined=2), True, "declined"),
        (make_obligation(1, version(2, at=-1, grace=9), declined=2), False, "in_grace"),
        (make_obligation(2, version(1), version(2), declined=2), False, "accepted"),
        (make_obligation(0, version(1, at=1), declined=1), False, "not_required"),
    ],
)
def test_r21_a_decline_counts_while_it_stands_in_the_way(each: Obligation, declined: bool, status: str) -> None:
    """Agreements R21: it removes no acceptance; it is reported only if access is denied and for the required version."""
    assert obligations.assess_compliance([each], NOW).declined is declined
    assert each.status(NOW) == status


def test_several_documents() -> None:
    """All agreements of a product must be accepted."""
    other = Obligation(UUID(int=2), 0, 0, (version(7, at=-1),))
    agreement = obligations.assess_compliance([make_obligation(1, version(2, at=-1, grace=5)), other], NOW)
    assert not agreement.compliant
    assert agreement.outstanding == ((DOCUMENT, 2), (UUID(int=2), 7))
    assert agreement.accepted == ((DOCUMENT, 1),)
    nothing = obligations.assess_compliance([], NOW)
    assert (nothing.compliant, nothing.outstanding, nothing.valid_until) == (True, (), None)


@st.composite
def histories(draw: st.DrawFn) -> Sequence[Version]:
    """Published versions as agreements R4 lets them be: rising together, the first material."""
    count = draw(st.integers(1, 6))
    starts = sorted(draw(st.lists(st.integers(-50, 50), min_size=count, max_size=count)))
    draft = []
    for ordinal, start in enumerate(starts, 1):
        kind = "material" if ordinal == 1 else draw(st.sampled_from(["material", "notice", "editorial"]))
        grace = draw(st.none() | st.integers(start, start + 40))
        draft.append(version(ordinal, kind, start, grace))
    return draft


@given(histories(), st.integers(0, 6), st.integers(0, 6), st.integers(-60, 60))
def test_r8_one_integer_compare(versions: Sequence[Version], accepted: int, declined: int, at: int) -> None:
    """Agreements R8: compliant iff `accepted >= required`; versions up to `accepted` never matter, so SQL may leave them out."""
    now = day(at)
    required = max((each.ordinal for each in versions if each.change_class == "material" and each.effective_at <= now), default=0)
    whole = make_obligation(accepted, *versions, declined=declined)
    thin = make_obligation(accepted, *(each for each in versions if each.ordinal > accepted), declined=declined)
    assert (not whole.list_owed(now)) == (accepted >= required)
    assert obligations.assess_compliance([whole], now) == obligations.assess_compliance([thin], now)


@given(histories(), st.integers(0, 6), st.integers(0, 6), st.integers(-60, 59))
def test_r20_nothing_changes_before_valid_until(versions: Sequence[Version], accepted: int, declined: int, at: int) -> None:
    """Agreements R20: until `valid_until` the answer stays what it is."""
    each = make_obligation(accepted, *versions, declined=declined)
    before = obligations.assess_compliance([each], day(at))
    for later in range(at + 1, 100):
        if before.valid_until is not None and day(later) >= before.valid_until:
            break
        after = obligations.assess_compliance([each], day(later))
        assert after == before


@given(histories(), st.integers(0, 6), st.integers(1, 6), st.integers(-60, 60))
def test_an_acceptance_only_helps(versions: Sequence[Version], accepted: int, ordinal: int, at: int) -> None:
    """The ordinal only rises, so accepting an old version never takes anything away."""
    before = make_obligation(accepted, *versions)
    after = obligations.apply_event(before, EventType.ACCEPTED, ordinal)
    assert after.accepted == max(accepted, ordinal)
    assert len(after.list_owed(day(at))) <= len(before.list_owed(day(at)))
    assert obligations.apply_event(before, EventType.DECLINED, ordinal).accepted == accepted


def test_r10_what_is_shown() -> None:
    """Agreements R10: the version in effect; the upcoming material one if nothing is owed; none before publishing."""
    first, patch, coming = version(1), version(2, "editorial"), version(3, at=5)
    assert obligations.choose_version(make_obligation(0, first, patch, coming), NOW) == patch
    assert obligations.choose_version(make_obligation(1, first, patch, coming), NOW) == coming
    assert obligations.choose_version(make_obligation(3, first, patch, coming), NOW) == patch
    assert obligations.choose_version(make_obligation(1, first, version(2, "notice", 5)), NOW) == first
    assert obligations.choose_version(make_obligation(0, version(1, at=5)), NOW) == version(1, at=5)
    assert obligations.choose_version(make_obligation(0), NOW) is None


def test_r7_states_follow_from_the_time() -> None:
    """Agreements R7: no background job changes states."""
    versions = (version(1, at=0), version(2, at=10))
    for at, states in ((-1, ["scheduled", "scheduled"]), (0, ["effective", "scheduled"]), (10, ["superseded", "effective"])):
        assert [rules.find_state(each.id, versions, day(at)) for each in versions] == states
    assert rules.find_state(UUID(int=9), versions, NOW) == "draft"


FIRST = Publication("material", "en", {"en": None}, (), NOW, None)
NEXT = Publication("material", "en", {"en": "more", "ru": "other"}, (version(1),), NOW, None)


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (FIRST, None),
        (NEXT, None),
        (Publication("notice", "en", {"en": None}, (version(1),), NOW, None), None),
        (Publication("material", "en", {"en": None}, (), day(5), day(5)), None),
        (Publication("notice", "en", {"en": None}, (), NOW, None), "agreement_first_not_material"),
        (Publication("material", "en", {"ru": None}, (), NOW, None), "agreement_default_text_missing"),
        (Publication("material", "en", {}, (), NOW, None), "agreement_default_text_missing"),
        (Publication("material", "en", {"en": "more", "ru": None}, (version(1),), NOW, None), "agreement_changes_missing"),
        (Publication("material", "en", {"en": "more"}, (version(1, at=2),), day(9), None), "agreement_already_scheduled"),
        (Publication("material", "en", {"en": None}, (), day(-1), None), "agreement_dates_impossible"),
        (Publication("material", "en", {"en": None}, (), day(2), day(1)), "agreement_dates_impossible"),
    ],
)
def test_r4_publishing(draft: Publication, code: str | None) -> None:
    """Agreements R4: each reason that prevents publishing."""
    problem = rules.check_publication(draft, NOW)
    assert (problem.code if problem else None) == code
