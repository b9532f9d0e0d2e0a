"""Accepting and declining: exactly one event whatever races, never another version than the one shown."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from app.agreements.models import AgreementEvent, AgreementState
from app.base.durations import instant_text
from app.events.models import Event
from tests.agreements import making
from tests.agreements.making import status_and_code
from tests.given import Given, Person


async def count(given: Given) -> int:
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(AgreementEvent)) or 0)


async def state(given: Given, person: Person) -> tuple[int, int]:
    async with given.world.db.query() as tx:
        wanted = select(AgreementState.accepted_ordinal, AgreementState.declined_ordinal)
        row = (await tx.execute(wanted.where(AgreementState.user_id == UUID(person.id)))).one()
    return row.accepted_ordinal, row.declined_ordinal


def days(given: Given, number: float) -> str:
    return instant_text(given.clock.now() + timedelta(days=number))


async def test_accepting(given: Given) -> None:
    """Agreements R14, R16: one act, one event, one receipt; the list says so at once, and the audit log too."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    assert (await making.list_agreements(given, person, agreement))["compliant"] is False
    presentation = await making.present(given, person, agreement)
    answer = await making.decide(given, person, presentation)
    result = answer.json()
    assert answer.status_code == 201
    assert (result["type"], result["ordinal"], result["result"], result["compliant"], result["outstanding"]) == (
        "accepted",
        1,
        "created",
        True,
        [],
    )
    assert result["at"] == instant_text(given.clock.now())
    after = await making.list_agreements(given, person, agreement)
    assert after["compliant"] is True
    assert after["items"][0]["status"] == "accepted"
    assert after["items"][0]["accepted"] == {"ordinal": 1, "event": result["event"], "at": result["at"]}
    async with given.world.db.query() as tx:
        event = (await tx.execute(select(Event.user_id, Event.data).where(Event.type == "agreement.accepted"))).one()
    assert event.user_id == UUID(person.id)
    assert event.data["receipt"] == result["event"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": True},
        {"decision": "yes"},
        {"decision": "accept"},
        {"text_sha256": "0" * 64},
        {"decision": "accept", "text_sha256": "A" * 64},
        {"decision": "accept", "text_sha256": "0" * 64, "at": "2020-01-01T00:00:00Z"},
        {"decision": "accept", "text_sha256": "0" * 64, "claims": {"dwell_ms": -1}},
        {"decision": "accept", "text_sha256": "0" * 64, "claims": {"happy": True}},
    ],
)
async def test_r15_said_in_so_many_words(given: Given, body: dict[str, Any]) -> None:
    """Agreements R15: the word and the hash, or 422."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    answer = await given.client.post(f"/v1/me/presentations/{presentation['id']}/decision", json=body, headers=person.auth)
    assert status_and_code(answer) == (422, "malformed")


async def test_r15_only_post(given: Given) -> None:
    """Agreements R15: no GET and no PUT accepts."""
    for method in ("GET", "PUT"):
        answer = await given.client.request(method, f"/v1/me/presentations/{UUID(int=1)}/decision")
        assert status_and_code(answer) == (405, "method_not_allowed")


async def test_r14_another_users_presentation(given: Given) -> None:
    """Agreements R14: a presentation is bound to its user; for anybody else it is not there."""
    agreement = await making.create_in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    presentation = await making.present(given, person, agreement)
    assert status_and_code(await making.decide(given, other, presentation)) == (404, "presentation_not_found")
    assert status_and_code(await making.decide(given, other, {**presentation, "id": UUID(int=1)})) == (404, "presentation_not_found")
    assert (await making.decide(given, person, presentation)).status_code == 201


async def test_r18_another_text(given: Given) -> None:
    """Agreements R18: the hash of another language is refused, and the presentation lives on."""
    agreement = await making.create_in_force(given, "en", "ru")
    person = await given.logged_in()
    english, russian = (
        await making.present(given, person, agreement, locale="en"),
        await making.present(given, person, agreement, locale="ru"),
    )
    answer = await making.decide(given, person, english, text_sha256=russian["text"]["sha256"])
    assert status_and_code(answer) == (409, "text_mismatch")
    assert await count(given) == 0
    assert (await making.decide(given, person, english)).status_code == 201


async def test_r14_an_expired_presentation(given: Given) -> None:
    """Agreements R14, R17: half open, 30 minutes; what was decided in time is repeated afterwards too."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    in_time, late = await making.present(given, person, agreement), await making.present(given, person, agreement)
    given.clock.forward(minutes=29, seconds=59)
    person.token = (await given.post("/v1/token/refresh", {"refresh_token": person.refresh}, {}))["access_token"]  # the same session
    first = given.expect(await making.decide(given, person, in_time, "decline"))
    given.clock.forward(seconds=1)
    assert status_and_code(await making.decide(given, person, late)) == (409, "presentation_expired")
    again = await making.decide(given, person, in_time, "decline")
    assert (again.status_code, again.json()) == (200, {**first, "result": "replayed"})
    assert await count(given) == 1


async def test_r17_an_outdated_version(given: Given) -> None:
    """Agreements R17: what was shown is what is stored, and the newer version is listed as outstanding; nothing is upgraded silently."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    await making.create_published(given, agreement)
    answer = await making.decide(given, person, presentation)
    result = answer.json()
    assert (answer.status_code, result["result"], result["ordinal"], result["compliant"]) == (201, "created", 1, False)
    assert result["outstanding"] == [{"document": agreement["id"], "ordinal": 2}]
    assert await state(given, person) == (1, 0)
    assert (await making.accept(given, person, agreement))["compliant"] is True
    assert await state(given, person) == (2, 0)


async def test_r17_also_within_grace(given: Given) -> None:
    """Agreements R8, R9: grace lets one go on; compliant is only who accepted."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    await making.create_published(given, agreement, grace_until=days(given, 7))
    result = (await making.decide(given, person, presentation)).json()
    assert (result["compliant"], [each["ordinal"] for each in result["outstanding"]]) == (False, [2])
    mine = await making.list_agreements(given, person, agreement)
    assert (mine["compliant"], mine["items"][0]["status"], mine["valid_until"]) == (False, "in_grace", days(given, 7))


async def test_an_old_version_lowers_nothing(given: Given) -> None:
    """The projection only moves up: an old screen accepted late is a true event, and takes nothing away."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    old = await making.present(given, person, agreement)
    await making.create_published(given, agreement)
    await making.accept(given, person, agreement)
    result = (await making.decide(given, person, old)).json()
    assert (result["result"], result["ordinal"], result["compliant"]) == ("created", 1, True)
    assert await state(given, person) == (2, 0)
    assert (await making.list_agreements(given, person, agreement))["items"][0]["accepted"]["ordinal"] == 2


async def test_r10_the_current_one_first(given: Given) -> None:
    """Agreements R10: a scheduled version is accepted early only by a user who owes nothing now."""
    agreement = await making.create_in_force(given)
    coming = await making.create_published(given, agreement, effective_at=days(given, 3))
    person = await given.logged_in()
    early = await making.present(given, person, agreement, version=coming["id"])
    refused = await making.decide(given, person, early)
    assert status_and_code(refused) == (409, "accept_current_first")
    assert (await making.accept(given, person, agreement))["ordinal"] == 1
    result = given.expect(await making.decide(given, person, early))
    assert (result["result"], result["ordinal"], result["compliant"]) == ("created", 2, True)
    given.clock.forward(days=3)
    await given.logged_in(person)
    assert (await making.list_agreements(given, person, agreement))["compliant"] is True


async def test_r21_a_decline_is_not_final(given: Given) -> None:
    """Agreements R21: recorded; the next presentation can be accepted; afterwards it undoes nothing."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    result = given.expect(await making.decide(given, person, await making.present(given, person, agreement), "decline"))
    assert (result["type"], result["compliant"], result["outstanding"]) == (
        "declined",
        False,
        [{"document": agreement["id"], "ordinal": 1}],
    )
    assert (await making.list_agreements(given, person, agreement))["items"][0]["status"] == "declined"
    assert (await making.accept(given, person, agreement))["result"] == "created"
    result = given.expect(await making.decide(given, person, await making.present(given, person, agreement), "decline"))
    assert (result["result"], result["compliant"]) == ("created", True)
    assert await state(given, person) == (1, 1)
    assert (await making.accept(given, person, agreement))["result"] == "already_accepted"
    assert await count(given) == 3


async def test_r12_acceptance_belongs_to_user_and_document(given: Given) -> None:
    """Agreements R12: nobody else's acceptance and no other product's counts."""
    agreement, second = await making.create_in_force(given), await making.create_in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    await making.accept(given, person, agreement)
    assert (await making.list_agreements(given, other, agreement))["compliant"] is False
    assert (await making.list_agreements(given, person, second))["compliant"] is False


async def test_an_idempotency_key_repeats_the_first_answer(given: Given) -> None:
    """The status too: a retried click sees the 201 that it missed."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    headers = {**person.auth, "Idempotency-Key": "click-1"}
    body = {"decision": "accept", "text_sha256": presentation["text"]["sha256"]}
    path = f"/v1/me/presentations/{presentation['id']}/decision"
    first, second = [await given.client.post(path, json=body, headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
