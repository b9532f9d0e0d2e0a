"""Compliance by value: regions, notices and withdrawals, over generated products (agreements R8, R9, R11, R12, R20, R22)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.agreements import obligations
from app.agreements.models import AgreementKind, EventType
from app.agreements.obligations import Compliance, Obligation, UserObligations, Version, list_regions, select_applicable

NOW = datetime(2026, 5, 1, tzinfo=UTC)
GROUPS = {"EU": frozenset({"DE", "FR"}), "NA": frozenset({"CA", "US"})}
REGIONS = ("CA-QC", "CA", "NA", "001")
END = 60


def day(number: float) -> datetime:
    return NOW + timedelta(days=number)


def version(ordinal: int, change_class: str = "material", at: float = -100, grace: float | None = None) -> Version:
    return Version(UUID(int=ordinal), ordinal, change_class, day(at), None if grace is None else day(grace))


def make_obligation(
    number: int, *versions: Version, accepted: int = 0, kind: str = "eula", region: str = "001", notified: int = 0
) -> Obligation:
    since = min((each.effective_at for each in versions), default=None)
    return Obligation(UUID(int=number), accepted, 0, versions, notified, withdrawn=False, kind=kind, region=region, since=since)


@pytest.mark.parametrize(
    ("region", "places"),
    [
        (None, ("001",)),
        ("001", ("001",)),
        ("NO", ("NO", "001")),
        ("DE", ("DE", "EU", "001")),
        ("CA-QC", ("CA-QC", "CA", "NA", "001")),
        ("150", ("150", "001")),
    ],
)
def test_r12_which_regions_apply(region: str | None, places: tuple[str, ...]) -> None:
    """Agreements R12: exact, country, group, world."""
    assert list_regions(region, GROUPS) == places


def test_r12_nothing_applies_from_elsewhere() -> None:
    """Agreements R12: where no agreement applies to the user's region, nothing is required."""
    assert select_applicable([make_obligation(1, version(1), region="FR")], list_regions("NO", GROUPS), NOW) == ()


def test_r12_a_nearer_one_without_a_published_version_hides_nothing() -> None:
    drafts = make_obligation(1, region="CA")
    world = make_obligation(2, version(1))
    assert world in select_applicable([drafts, world], list_regions("CA", GROUPS), NOW)
    assert not UserObligations((drafts, world), list_regions("CA", GROUPS)).compliance(NOW).compliant


def test_r22_an_owed_version_after_withdrawal_is_reported_as_withdrawn() -> None:
    """Agreements R22: not as declined, and only while something is owed."""
    each = obligations.apply_event(obligations.apply_event(make_obligation(1, version(1)), EventType.ACCEPTED, 1), EventType.WITHDRAWN, 1)
    agreement = obligations.assess_compliance([each], NOW)
    assert (each.status(NOW), each.accepted, agreement.compliant, agreement.declined) == ("withdrawn", 0, False, False)
    assert replace(each, versions=(version(1, at=5),)).status(NOW) == "not_required"
    assert obligations.apply_event(each, EventType.IMPORTED, 1).status(NOW) == "accepted"


def test_r24_a_note_changes_nothing() -> None:
    each = make_obligation(1, version(1), accepted=1)
    assert obligations.apply_event(each, EventType.ANNOTATED, 7) == each


@pytest.mark.parametrize(
    ("obligation", "ordinal", "is_recorded"),
    [
        (make_obligation(1, version(1), kind="notice"), 1, True),
        (make_obligation(1, version(1), kind="notice", notified=1), 1, False),
        (make_obligation(1, version(1), version(2, "editorial"), kind="notice"), 2, True),
        (make_obligation(1, version(1), version(2, "editorial"), kind="notice", notified=1), 2, False),
        (make_obligation(1, version(1), version(2, at=5), kind="notice"), 2, False),
        (make_obligation(1, version(1), version(2, at=5), kind="notice", notified=1), 2, True),
        (make_obligation(1, version(1)), 1, False),
        (make_obligation(1, version(1), version(2, "notice")), 2, False),
        (make_obligation(1, version(1), version(2, "notice"), accepted=1), 2, True),
        (make_obligation(1, version(1), version(2, "notice"), version(3, "editorial"), accepted=1), 3, True),
        (make_obligation(1, version(1), version(2, "notice"), version(3), accepted=1), 3, False),
        (make_obligation(1, version(1), version(2), accepted=1), 2, False),
    ],
)
def test_r11_which_showing_is_recorded(obligation: Obligation, ordinal: int, is_recorded: bool) -> None:
    """Agreements R11: news once; an upcoming version only if no current one is pending."""
    assert obligation.must_record_showing(obligation.versions[ordinal - 1], NOW) is is_recorded


@st.composite
def histories(draw: st.DrawFn) -> tuple[Version, ...]:
    """Published versions as agreements R4 lets them be: rising together, the first material."""
    starts = sorted(draw(st.lists(st.integers(-30, 30), min_size=1, max_size=4)))
    classes = st.sampled_from(["material", "notice", "editorial"])
    return tuple(
        version(ordinal, "material" if ordinal == 1 else draw(classes), start, draw(st.none() | st.integers(start, start + 20)))
        for ordinal, start in enumerate(starts, 1)
    )


@st.composite
def products(draw: st.DrawFn) -> UserObligations:
    """All agreements of a product, at most one for each kind and region, with a random history of one end user."""
    places = draw(st.lists(st.tuples(st.sampled_from([*AgreementKind]), st.sampled_from(REGIONS)), unique=True, max_size=5))
    draft: list[Obligation] = []
    for number, (kind, region) in enumerate(places, 1):
        each = make_obligation(number, *draw(histories() | st.just(())), kind=kind, region=region)
        last = len(each.versions)
        if kind is AgreementKind.EULA and last:
            accepted, declined = draw(st.integers(0, last)), draw(st.integers(0, last))
            each = replace(each, accepted=accepted, declined=declined, withdrawn=not accepted and draw(st.booleans()))
        draft.append(replace(each, notified=draw(st.integers(0, last))))
    return UserObligations(tuple(draft), list_regions(draw(st.sampled_from([None, "CA-QC", "CA", "US"])), GROUPS))


AT = st.integers(-40, 40)


def until(agreement: Compliance) -> Sequence[datetime]:
    """Moments up to the boundary, the last one just before it."""
    end = agreement.valid_until or day(END)
    return [*(day(number) for number in range(-40, END) if day(number) < end), end - timedelta(milliseconds=1)]


@given(products(), AT)
@example(
    UserObligations(
        (make_obligation(1, version(1), accepted=1), make_obligation(2, version(1, at=5), region="CA", accepted=1)),
        list_regions("CA", GROUPS),
    ),
    0,
)
def test_r20_the_answer_stays_until_its_boundary(product: UserObligations, at: int) -> None:
    """Agreements R20: the whole answer, with warnings and ordinals; the boundary is in the future."""
    agreement = product.compliance(day(at))
    assert agreement.valid_until is None or agreement.valid_until > day(at)
    for moment in until(agreement):
        if moment > day(at):
            assert product.compliance(moment) == agreement


@given(products(), AT)
def test_r20_without_a_boundary_nothing_ever_changes(product: UserObligations, at: int) -> None:
    """Agreements R20: following the boundaries reaches the last one."""
    moment, steps = day(at), 0
    while (ahead := product.compliance(moment).valid_until) is not None:
        moment, steps = ahead, steps + 1
        assert steps < 100
    assert product.compliance(day(1000)) == product.compliance(moment)


@given(products(), AT, st.data())
def test_accepting_never_turns_a_yes_into_a_no(product: UserObligations, at: int, data: st.DataObject) -> None:
    """Agreements R8, R12: one more acceptance of any version and region only helps; so does seeing a notice."""
    now = day(at)
    before = product.compliance(now)
    word = data.draw(st.sampled_from([EventType.ACCEPTED, EventType.IMPORTED, EventType.NOTICE_SHOWN]))
    for each in product.obligations:
        for ordinal in range(1, len(each.versions) + 1):
            if each.kind == AgreementKind.NOTICE and word is not EventType.NOTICE_SHOWN:
                continue
            after = product.with_changed(obligations.apply_event(each, word, ordinal)).compliance(now)
            assert after.compliant or not before.compliant
            assert {place.document_id for place in after.outstanding} <= {place.document_id for place in before.outstanding}


@given(products(), AT)
def test_declining_or_withdrawing_never_turns_a_no_into_a_yes(product: UserObligations, at: int) -> None:
    """Agreements R21, R22."""
    now = day(at)
    for each in product.obligations:
        for word in (EventType.DECLINED, EventType.WITHDRAWN):
            if not product.compliance(now).compliant and each.kind == AgreementKind.EULA and each.versions:
                assert not product.with_changed(obligations.apply_event(each, word, len(each.versions))).compliance(now).compliant


@given(products(), AT)
def test_r12_one_of_each_kind_in_force(product: UserObligations, at: int) -> None:
    """Agreements R12: at most one document of each kind is in force, and it is the nearest."""
    now = day(at)
    chosen = select_applicable(product.obligations, product.regions, now)
    for kind in AgreementKind:
        holding = [each for each in chosen if each.kind == kind and each.is_in_force(now)]
        assert len(holding) <= 1
        near = [each for each in product.obligations if each.kind == kind and each.region in product.regions and each.is_in_force(now)]
        nearest = min(near, key=lambda each: product.regions.index(each.region), default=None)
        assert holding == ([nearest] if nearest is not None else [])


@given(products(), AT)
def test_r11_a_notice_never_blocks_access(product: UserObligations, at: int) -> None:
    """Agreements R11: the answer is the same as without notices."""
    only = replace(product, obligations=tuple(each for each in product.obligations if each.kind != AgreementKind.NOTICE))
    agreement, without = product.compliance(day(at)), only.compliance(day(at))
    assert (agreement.compliant, agreement.declined, agreement.outstanding) == (without.compliant, without.declined, without.outstanding)


@given(products(), AT)
def test_accepted_versions_do_not_matter(product: UserObligations, at: int) -> None:
    """Agreements R8: so the SQL statement may leave them out."""
    thin = replace(
        product,
        obligations=tuple(
            replace(each, versions=tuple(v for v in each.versions if v.ordinal > each.accepted)) for each in product.obligations
        ),
    )
    assert thin.compliance(day(at)) == product.compliance(day(at))


@given(products(), AT)
def test_r11_after_it_was_shown_nothing_is_news(product: UserObligations, at: int) -> None:
    """Agreements R11: showing the chosen version ends the warning, and is recorded exactly if there was a warning."""
    now = day(at)
    for each in product.obligations:
        wanted = obligations.choose_version(each, now)
        if wanted is not None and each.pending_notice(now) is not None:
            assert each.must_record_showing(wanted, now)
            assert obligations.apply_event(each, EventType.NOTICE_SHOWN, wanted.ordinal).pending_notice(now) is None
