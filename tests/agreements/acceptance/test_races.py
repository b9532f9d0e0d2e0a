"""Concurrent requests on both databases: one result, one event for each act, chains without gaps."""

import asyncio
from collections import Counter
from itertools import pairwise
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from app.agreements.models import AgreementEvent, AgreementState
from tests.agreements import acting, making
from tests.given import Given, Person


def count_results(answers: list[httpx.Response]) -> Counter[str]:
    """The number of responses with each result or code."""
    return Counter(answer.json()["result"] if answer.is_success else answer.json()["code"] for answer in answers)


async def chain(given: Given, person: Person) -> list[str]:
    """The event types of the chain; checks that it has no gap and no branch."""
    async with given.world.db.query() as tx:
        columns = (AgreementEvent.seq, AgreementEvent.type, AgreementEvent.receipt_sha256, AgreementEvent.prev_sha256)
        wanted = select(*columns).where(AgreementEvent.user_id == UUID(person.id)).order_by(AgreementEvent.seq)
        rows = (await tx.execute(wanted)).all()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.prev_sha256 for row in rows] == [None, *(row.receipt_sha256 for row in rows)][: len(rows)]
    return [str(row.type) for row in rows]


async def accepted_ordinal(given: Given, person: Person) -> int:
    async with given.world.db.query() as tx:
        wanted = select(AgreementState.accepted_ordinal).where(AgreementState.user_id == UUID(person.id))
        return int(await tx.scalar(wanted) or 0)


async def test_r19_fifty_accepts_of_one_presentation(given: Given) -> None:
    """Agreements R19: one 201, and the same event for all others."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    answers = await making.run_together(*(making.decide(given, person, presentation) for _ in range(50)))
    assert count_results(answers) == {"created": 1, "replayed": 49}
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["event"] for answer in answers}) == 1
    assert await chain(given, person) == ["accepted"]


async def test_r19_two_devices(given: Given) -> None:
    """Agreements R19: two screens, two formats, eight clicks on each: one event, which the second device gets too."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    screens = [await making.present(given, person, agreement, format=form) for form in ("html", "text")]
    answers = await making.run_together(*(making.decide(given, person, presentation) for presentation in screens * 8))
    assert count_results(answers) == {"created": 1, "replayed": 7, "already_accepted": 8}
    assert len({answer.json()["event"] for answer in answers}) == 1
    spare = next(
        presentation for presentation, answer in zip(screens * 8, answers, strict=True) if answer.json()["result"] == "already_accepted"
    )
    assert count_results([await making.decide(given, person, spare)]) == {"already_accepted": 1}
    assert count_results([await making.decide(given, person, spare, "decline")]) == {"already_decided": 1}
    assert await chain(given, person) == ["accepted"]


async def test_r19_accept_against_decline(given: Given) -> None:
    """Agreements R19: on one screen the first decision counts; others are replays or `already_decided`."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    answers = await making.run_together(*(making.decide(given, person, presentation, word) for word in ["accept", "decline"] * 8))
    assert count_results(answers) == {"created": 1, "replayed": 7, "already_decided": 8}
    words = await chain(given, person)
    assert len(words) == 1
    assert {answer.json()["type"] for answer in answers if answer.is_success} == set(words)


async def test_r19_accept_on_one_screen_and_decline_on_another(given: Given) -> None:
    """Agreements R21: both are recorded in either order; the acceptance counts."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    screens = [await making.present(given, person, agreement) for _ in range(16)]
    words = ["accept", "decline"] * 8
    answers = await making.run_together(
        *(making.decide(given, person, presentation, word) for presentation, word in zip(screens, words, strict=True))
    )
    assert count_results(answers) == {"created": 9, "already_accepted": 7}
    assert Counter(await chain(given, person)) == {"accepted": 1, "declined": 8}
    assert await accepted_ordinal(given, person) == 1


async def test_r17_accept_against_publish(given: Given) -> None:
    """Agreements R17: sixteen users accept while a newer version is published: the presented version is stored."""
    agreement = await acting.create_in_force(given)
    people = [await given.logged_in() for _ in range(16)]
    screens = [await making.present(given, person, agreement) for person in people]
    coming = await making.create_version(given, agreement)
    decisions = [making.decide(given, person, presentation) for person, presentation in zip(people, screens, strict=True)]
    *answers, published = await making.run_together(*decisions[:8], *decisions[8:], making.publish(given, coming))
    assert published.status_code == 200
    assert count_results(answers) == {"created": 16}
    assert {answer.json()["ordinal"] for answer in answers} == {1}
    late = [answer for answer in answers if not answer.json()["compliant"]]
    assert all(answer.json()["outstanding"] == [{"document": agreement["id"], "ordinal": 2}] for answer in late)
    for person in people:
        assert await chain(given, person) == ["accepted"]
        assert (await given.access(agreement["product"], person))["code"] == "agreement_required"


async def test_r22_withdraw_against_accept(given: Given) -> None:
    """Agreements R22: in any order, the state is that of the last event in the chain."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    for _ in range(4):
        screens = [await making.present(given, person, agreement) for _ in range(8)]
        accepts = [making.decide(given, person, presentation) for presentation in screens]
        answers = await making.run_together(*accepts, *(acting.withdraw(given, person, agreement) for _ in range(8)))
        assert all(answer.is_success for answer in answers)
        words = await chain(given, person)
        assert all(one != other for one, other in pairwise(words))
        assert (await given.access(agreement["product"], person))["allow"] is (words[-1] == "accepted")
        assert await accepted_ordinal(given, person) == int(words[-1] == "accepted")
        if words[-1] == "withdrawn":
            await making.accept(given, person, agreement)


async def test_r22_withdrawn_sixteen_times(given: Given) -> None:
    """Agreements R22: repetitions return the same event."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    answers = await making.run_together(*(acting.withdraw(given, person, agreement) for _ in range(16)))
    assert count_results(answers) == {"created": 1, "replayed": 15}
    assert len({answer.json()["event"] for answer in answers}) == 1
    assert await chain(given, person) == ["accepted", "withdrawn"]


async def test_r11_a_notice_shown_sixteen_times(given: Given) -> None:
    """Agreements R11: on any number of screens, one event is recorded."""
    agreement = await acting.create_in_force(given, kind="notice")
    person = await given.logged_in()
    answers = await making.run_together(*(acting.try_to_present(given, person, agreement) for _ in range(16)))
    assert Counter(answer.status_code for answer in answers) == {201: 16}
    assert await chain(given, person) == ["notice_shown"]


@pytest.mark.parametrize("delay", [0, 0.01, 0.03, 0.06])
async def test_r5_accept_against_cancel(given: Given, delay: float) -> None:
    """Agreements R5: either the upcoming version is accepted and kept, or it is cancelled and not accepted."""
    agreement = await acting.create_in_force(given)
    people = [await given.logged_in() for _ in range(8)]
    for person in people:
        await making.accept(given, person, agreement)
    coming = await making.create_published(given, agreement, effective_at=making.days_from_now(given, 1))
    screens = [await making.present(given, person, agreement) for person in people]

    async def cancel() -> bool:
        await asyncio.sleep(delay)
        return await acting.cancel(given, coming)

    decisions = [making.decide(given, person, presentation) for person, presentation in zip(people, screens, strict=True)]
    cancelled, answers = await asyncio.gather(cancel(), making.run_together(*decisions))
    assert count_results(answers) == ({"agreement_version_cancelled": 8} if cancelled else {"created": 8})
    assert await acting.count_events(given) == (8 if cancelled else 16)
