"""Many at the same moment, in one process, on both databases: one truth, one event for each act, chains without a gap."""

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


def told(answers: list[httpx.Response]) -> Counter[str]:
    """Results and codes, each so many times."""
    return Counter(answer.json()["result"] if answer.is_success else answer.json()["code"] for answer in answers)


async def chain(given: Given, person: Person) -> list[str]:
    """The words of the chain, which has no gap and no branch."""
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
    """Agreements R19: one 201, and everybody else the same event."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    answers = await making.run_together(*(making.decide(given, person, shown) for _ in range(50)))
    assert told(answers) == {"created": 1, "replayed": 49}
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["event"] for answer in answers}) == 1
    assert await chain(given, person) == ["accepted"]


async def test_r19_two_devices(given: Given) -> None:
    """Agreements R19: two screens, two formats, eight clicks on each: one event; the device that came second is told of the first's."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    screens = [await making.present(given, person, found, format=form) for form in ("html", "text")]
    answers = await making.run_together(*(making.decide(given, person, shown) for shown in screens * 8))
    assert told(answers) == {"created": 1, "replayed": 7, "already_accepted": 8}
    assert len({answer.json()["event"] for answer in answers}) == 1
    spare = next(shown for shown, answer in zip(screens * 8, answers, strict=True) if answer.json()["result"] == "already_accepted")
    assert told([await making.decide(given, person, spare)]) == {"already_accepted": 1}
    assert told([await making.decide(given, person, spare, "decline")]) == {"already_decided": 1}
    assert await chain(given, person) == ["accepted"]


async def test_r19_accept_against_decline(given: Given) -> None:
    """Agreements R19: on one screen the first word stands; the others are repetitions of it, or told that it was decided."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    answers = await making.run_together(*(making.decide(given, person, shown, word) for word in ["accept", "decline"] * 8))
    assert told(answers) == {"created": 1, "replayed": 7, "already_decided": 8}
    words = await chain(given, person)
    assert len(words) == 1
    assert {answer.json()["type"] for answer in answers if answer.is_success} == set(words)


async def test_r19_accept_on_one_screen_and_decline_on_another(given: Given) -> None:
    """Agreements R21: both are recorded, in one order or the other; the acceptance stands either way."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    screens = [await making.present(given, person, found) for _ in range(16)]
    words = ["accept", "decline"] * 8
    answers = await making.run_together(*(making.decide(given, person, shown, word) for shown, word in zip(screens, words, strict=True)))
    assert told(answers) == {"created": 9, "already_accepted": 7}
    assert Counter(await chain(given, person)) == {"accepted": 1, "declined": 8}
    assert await accepted_ordinal(given, person) == 1


async def test_r17_accept_against_publish(given: Given) -> None:
    """Agreements R17: sixteen people accept while a newer version is published: what was shown is what is stored, whoever came first."""
    found = await acting.create_in_force(given)
    people = [await given.logged_in() for _ in range(16)]
    screens = [await making.present(given, person, found) for person in people]
    coming = await making.create_version(given, found)
    decisions = [making.decide(given, person, shown) for person, shown in zip(people, screens, strict=True)]
    *answers, published = await making.run_together(*decisions[:8], *decisions[8:], making.publish(given, coming))
    assert published.status_code == 200
    assert told(answers) == {"created": 16}
    assert {answer.json()["ordinal"] for answer in answers} == {1}
    late = [answer for answer in answers if not answer.json()["compliant"]]
    assert all(answer.json()["outstanding"] == [{"document": found["id"], "ordinal": 2}] for answer in late)
    for person in people:
        assert await chain(given, person) == ["accepted"]
        assert (await given.access(found["product"], person))["code"] == "agreement_required"


async def test_r22_withdraw_against_accept(given: Given) -> None:
    """Agreements R22: whatever the order, the state is that of the last word in the chain."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, found)
    for _ in range(4):
        screens = [await making.present(given, person, found) for _ in range(8)]
        accepts = [making.decide(given, person, shown) for shown in screens]
        answers = await making.run_together(*accepts, *(acting.withdraw(given, person, found) for _ in range(8)))
        assert all(answer.is_success for answer in answers)
        words = await chain(given, person)
        assert all(one != other for one, other in pairwise(words))
        assert (await given.access(found["product"], person))["allow"] is (words[-1] == "accepted")
        assert await accepted_ordinal(given, person) == int(words[-1] == "accepted")
        if words[-1] == "withdrawn":
            await making.accept(given, person, found)


async def test_r22_withdrawn_sixteen_times(given: Given) -> None:
    """Agreements R22: twice is once."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, found)
    answers = await making.run_together(*(acting.withdraw(given, person, found) for _ in range(16)))
    assert told(answers) == {"created": 1, "replayed": 15}
    assert len({answer.json()["event"] for answer in answers}) == 1
    assert await chain(given, person) == ["accepted", "withdrawn"]


async def test_r11_a_notice_shown_sixteen_times(given: Given) -> None:
    """Agreements R11: on as many screens as there are, it was shown once for the record."""
    found = await acting.create_in_force(given, kind="notice")
    person = await given.logged_in()
    answers = await making.run_together(*(acting.try_to_present(given, person, found) for _ in range(16)))
    assert Counter(answer.status_code for answer in answers) == {201: 16}
    assert await chain(given, person) == ["notice_shown"]


@pytest.mark.parametrize("delay", [0, 0.01, 0.03, 0.06])
async def test_r5_accept_against_cancel(given: Given, delay: float) -> None:
    """Agreements R5: either somebody accepted the coming version, and it stands; or it was cancelled, and nobody did."""
    found = await acting.create_in_force(given)
    people = [await given.logged_in() for _ in range(8)]
    for person in people:
        await making.accept(given, person, found)
    coming = await making.create_published(given, found, effective_at=making.days_from_now(given, 1))
    screens = [await making.present(given, person, found) for person in people]

    async def cancel() -> bool:
        await asyncio.sleep(delay)
        return await acting.cancel(given, coming)

    decisions = [making.decide(given, person, shown) for person, shown in zip(people, screens, strict=True)]
    cancelled, answers = await asyncio.gather(cancel(), making.run_together(*decisions))
    assert told(answers) == ({"agreement_version_cancelled": 8} if cancelled else {"created": 8})
    assert await acting.count_events(given) == (8 if cancelled else 16)
