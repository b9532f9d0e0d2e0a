"""What guards an acceptance guards one that is brought from elsewhere too; and nobody waits in a circle with an import."""

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


async def bring(given: Given, found: Json, *items: Json) -> list[str]:
    """What became of each, in one word."""
    told = await given.post(f"/v1/agreements/{found['id']}/imports", {"data": list(items)})
    return [it["result"] if it["error"] is None else it["error"]["code"] for it in told["data"]]


async def erased(given: Given, person: Person) -> None:
    given.expect(await given.client.post(f"/v1/users/{person.id}/erase", headers=given.root))


@pytest.mark.parametrize(("minors", "minor"), [("require_guardian", "guardian_required"), ("deny", "minors_denied"), ("allow", "created")])
async def test_r13_a_minor_accepts_nothing_by_import(given: Given, minors: str, minor: str) -> None:
    """Agreements R13: the word about minors holds wherever the acceptance was given; those of age pass."""
    found = await acting.create_in_force(given, minors=minors)
    given.clock.forward(days=1)
    young, adult, untold = [await given.person(**more) for more in ({"age_band": "minor"}, {"age_band": "adult"}, {})]
    items = [item(given, person, str(number)) for number, person in enumerate((young, adult, untold))]
    assert await bring(given, found, *items) == [minor, "created", "created"]
    assert await acting.count_events(given) == 2 + (minor == "created")


async def test_r18_an_import_in_a_language_that_the_law_demands(given: Given) -> None:
    """Agreements R18: what was accepted in another language alone is no acceptance here; a variant of the demanded one is."""
    found = await acting.create_in_force(given, "en", "fr-CA", required_locales=["fr"])
    given.clock.forward(days=1)
    one, other = await given.person(), await given.person()
    items = [item(given, one, "1"), item(given, one, "2", locale="en"), item(given, other, "3", locale="fr-CA")]
    assert await bring(given, found, *items) == ["required_locale_not_presented"] * 2 + ["created"]


async def test_r25_nothing_is_added_to_who_was_erased(given: Given) -> None:
    """Agreements R25: neither an import nor an annotation; what was brought before is still answered with its event."""
    found = await making.create_in_force(given)
    given.clock.forward(days=1)
    person, other = await given.logged_in(), await given.person()
    told = await making.accept(given, person, found)
    before = item(given, person, "before")
    assert await bring(given, found, before) == ["created"]
    await erased(given, person)
    assert await bring(given, found, before, item(given, person, "after"), item(given, other, "o")) == [
        "replayed",
        "user_erased",
        "created",
    ]
    path = f"/v1/agreement-events/{told['event']}/annotations"
    assert status_and_code(await given.client.post(path, json={"reason": "Late."}, headers=given.root)) == (409, "user_erased")
    assert await acting.count_events(given) == 3


async def test_imports_against_decisions_on_the_coming_version(given: Given) -> None:
    """Whoever decides on a coming version holds the ledger and then the document; so does an import, and both always end."""
    found = await making.create_in_force(given)
    given.clock.forward(days=1)
    people = [await given.logged_in() for _ in range(8)]
    for person in people:
        await making.accept(given, person, found)
    await making.create_published(given, found, effective_at=making.days_from_now(given, 1))
    path = f"/v1/agreements/{found['id']}/imports"
    for turn in range(3):
        screens = [await making.present(given, person, found) for person in people]
        bodies = [{"data": [item(given, person, f"{turn}-{number}-{person.id}") for person in people]} for number in range(4)]
        imports = [given.client.post(path, json=body, headers=given.root) for body in bodies]
        decisions = [making.decide(given, person, shown, "decline") for person, shown in zip(people, screens, strict=True)]
        calls = [call for pair in zip(decisions, imports, strict=False) for call in pair] + decisions[len(imports) :]
        answers = await making.run_together(*calls)
        assert Counter(answer.status_code for answer in answers) == {200: 4, 201: 8}
    assert await acting.count_events(given) == 8 + 3 * (8 + 4 * 8)


async def test_a_notice_shown_while_its_reader_is_erased(given: Given) -> None:
    """Both take the ledger before the user, so that one of them is simply later."""
    found = await acting.create_in_force(given, kind="notice")
    for _ in range(6):
        person = await given.logged_in()
        showing = (acting.try_to_present(given, person, found) for _ in range(4))
        ending = given.client.post(f"/v1/users/{person.id}/erase", headers=given.root)
        *shown, gone = await asyncio.wait_for(making.run_together(*showing, ending), 20)
        assert gone.status_code == 200
        assert {answer.status_code for answer in shown} <= {201, 401}
