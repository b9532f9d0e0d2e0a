"""The rules of acceptance apply to imports too, and imports never deadlock."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from app.base.durations import instant_text
from tests.agreements import acting, making
from tests.agreements.making import Json, status_and_code
from tests.given import Given, Person


def item(given: Given, person: Person, ref: str, **more: Any) -> Json:
    at = given.clock.now() - timedelta(hours=1)
    return {"user": person.id, "ordinal": 1, "accepted_at": instant_text(at), "external_ref": ref, **more}


async def bring(given: Given, agreement: Json, *items: Json) -> list[str]:
    """The result or problem code of each item."""
    result = await given.post(f"/v1/agreements/{agreement['id']}/imports", {"data": list(items)})
    return [each["result"] if each["error"] is None else each["error"]["code"] for each in result["data"]]


async def erased(given: Given, person: Person) -> None:
    given.expect(await given.client.post(f"/v1/users/{person.id}/erase", headers=given.root))


@pytest.mark.parametrize(("minors", "minor"), [("require_guardian", "guardian_required"), ("deny", "minors_denied"), ("allow", "created")])
async def test_r13_a_minor_accepts_nothing_by_import(given: Given, minors: str, minor: str) -> None:
    """Agreements R13: the rule for minors applies wherever the acceptance was given; adults pass."""
    agreement = await acting.create_in_force(given, minors=minors)
    given.clock.forward(days=1)
    young, adult, untold = [await given.person(**more) for more in ({"age_band": "minor"}, {"age_band": "adult"}, {})]
    items = [item(given, person, str(number)) for number, person in enumerate((young, adult, untold))]
    assert await bring(given, agreement, *items) == [minor, "created", "created"]
    assert await acting.count_events(given) == 2 + (minor == "created")


async def test_r18_an_import_in_a_language_that_the_law_demands(given: Given) -> None:
    """Agreements R18: an acceptance in another language is refused; a variant of the required language is enough."""
    agreement = await acting.create_in_force(given, "en", "fr-CA", required_locales=["fr"])
    given.clock.forward(days=1)
    one, other = await given.person(), await given.person()
    items = [item(given, one, "1"), item(given, one, "2", locale="en"), item(given, other, "3", locale="fr-CA")]
    assert await bring(given, agreement, *items) == ["required_locale_not_presented"] * 2 + ["created"]


async def test_r25_nothing_is_added_to_who_was_erased(given: Given) -> None:
    """Agreements R25: neither an import nor a note; a repeated reference still returns its event."""
    agreement = await making.create_in_force(given)
    given.clock.forward(days=1)
    person, other = await given.logged_in(), await given.person()
    result = await making.accept(given, person, agreement)
    before = item(given, person, "before")
    assert await bring(given, agreement, before) == ["created"]
    await erased(given, person)
    assert await bring(given, agreement, before, item(given, person, "after"), item(given, other, "o")) == [
        "replayed",
        "user_erased",
        "created",
    ]
    path = f"/v1/agreement-events/{result['event']}/annotations"
    assert status_and_code(await given.client.post(path, json={"reason": "Late."}, headers=given.root)) == (409, "user_erased")
    assert await acting.count_events(given) == 3


async def test_imports_against_decisions_on_the_coming_version(given: Given) -> None:
    """Decisions on an upcoming version and imports lock the ledger, then the document; both always finish."""
    agreement = await making.create_in_force(given)
    given.clock.forward(days=1)
    people = [await given.logged_in() for _ in range(8)]
    for person in people:
        await making.accept(given, person, agreement)
    await making.create_published(given, agreement, effective_at=making.days_from_now(given, 1))
    path = f"/v1/agreements/{agreement['id']}/imports"
    for turn in range(3):
        screens = [await making.present(given, person, agreement) for person in people]
        bodies = [{"data": [item(given, person, f"{turn}-{number}-{person.id}") for person in people]} for number in range(4)]
        imports = [given.client.post(path, json=body, headers=given.root) for body in bodies]
        decisions = [making.decide(given, person, presentation, "decline") for person, presentation in zip(people, screens, strict=True)]
        calls = [call for pair in zip(decisions, imports, strict=False) for call in pair] + decisions[len(imports) :]
        answers = await making.run_together(*calls)
        assert Counter(answer.status_code for answer in answers) == {200: 4, 201: 8}
    assert await acting.count_events(given) == 8 + 3 * (8 + 4 * 8)


async def test_a_notice_shown_while_its_reader_is_erased(given: Given) -> None:
    """Both lock the ledger before the user, so one of them waits."""
    agreement = await acting.create_in_force(given, kind="notice")
    for _ in range(6):
        person = await given.logged_in()
        showing = (acting.try_to_present(given, person, agreement) for _ in range(4))
        ending = given.client.post(f"/v1/users/{person.id}/erase", headers=given.root)
        *presentation, gone = await asyncio.wait_for(making.run_together(*showing, ending), 20)
        assert gone.status_code == 200
        assert {answer.status_code for answer in presentation} <= {201, 401}
