"""Ending an agreement: from now on, once, never backwards (agreements R22)."""

from datetime import timedelta

import jwt

from app.base.durations import instant_text
from tests.agreements import acting, making
from tests.agreements.making import status_and_code
from tests.given import Given


async def test_r22_access_ends_and_the_past_stays(given: Given) -> None:
    """Agreements R22: denied from now on; the period of before stays evidenced; accepting again later is a new event."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    first = await making.accept(given, person, found)
    assert (await given.access(found["product"], person))["allow"] is True
    given.clock.forward(minutes=1)
    answer = await acting.withdraw(given, person, found)
    told = answer.json()
    assert (answer.status_code, told["type"], told["result"], told["ordinal"]) == (201, "withdrawn", "created", 1)
    assert (told["compliant"], told["outstanding"]) == (False, [{"document": found["id"], "ordinal": 1}])
    denied = await given.access(found["product"], person)
    assert (denied["allow"], denied["code"], denied["grant"]) == (False, "agreement_required", None)
    item = await acting.find_item(given, person, found)
    assert (item["status"], item["accepted"]) == ("withdrawn", None)
    listed = given.expect(await given.client.get("/v1/me/receipts", headers=person.auth))["data"]
    assert [it["type"] for it in listed] == ["withdrawn", "accepted"]
    again = await making.accept(given, person, found)
    assert (again["result"], again["event"] != first["event"]) == ("created", True)
    assert (await given.access(found["product"], person))["allow"] is True
    assert await acting.list_events(given, person) == ["accepted", "withdrawn", "accepted"]


async def test_r22_the_receipt_of_a_withdrawal(given: Given) -> None:
    """Agreements R14, R22: about the text that was accepted last; nothing was shown, so no screen is claimed."""
    found = await acting.create_in_force(given, "en", "nb")
    person = await given.logged_in(age_band="adult")
    given.expect(await making.decide(given, person, await making.present(given, person, found, locale="nb")))
    accepted = await acting.read_last_claims(given, person)
    await making.create_published(given, found)
    told = given.expect(await acting.withdraw(given, person, found))
    claims = jwt.decode(told["receipt"]["jws"], options={"verify_signature": False})
    assert (claims["event"], claims["seq"], claims["txt"], claims["ord"]) == ("withdrawn", 2, accepted["txt"], 1)
    assert (claims["locale"], claims["capacity"], claims["amr"]) == ("nb", "adult", ["pwd"])
    assert not {"prs", "presented_at", "format", "fallback"} & set(claims)
    assert told["outstanding"] == [{"document": found["id"], "ordinal": 2}]
    one = given.expect(await given.client.get(told["receipt"]["url"], headers=person.auth))
    assert (one["type"], one["jws"]) == ("withdrawn", told["receipt"]["jws"])


async def test_r22_nothing_to_withdraw(given: Given) -> None:
    """Agreements R22: without an acceptance there is nothing; a decline is none; twice is once."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    assert status_and_code(await acting.withdraw(given, person, found)) == (409, "nothing_to_withdraw")
    given.expect(await making.decide(given, person, await making.present(given, person, found), "decline"))
    assert status_and_code(await acting.withdraw(given, person, found)) == (409, "nothing_to_withdraw")
    await making.accept(given, person, found)
    first = given.expect(await acting.withdraw(given, person, found))
    second = await acting.withdraw(given, person, found)
    assert (second.status_code, second.json()) == (200, {**first, "result": "replayed"})
    assert await acting.list_events(given, person) == ["declined", "accepted", "withdrawn"]
    unknown = {"id": person.id}
    assert status_and_code(await acting.withdraw(given, person, unknown)) == (404, "agreement_not_found")


async def test_r22_grace_is_not_for_those_who_withdrew(given: Given) -> None:
    """Agreements R9, R22: without an acceptance there is no grace."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, found)
    await making.create_published(given, found, grace_until=making.days_from_now(given, 7))
    assert (await given.access(found["product"], person))["allow"] is True
    told = given.expect(await acting.withdraw(given, person, found))
    assert told["outstanding"] == [{"document": found["id"], "ordinal": 2}]
    assert (await given.access(found["product"], person))["code"] == "agreement_required"


async def test_r22_an_acceptance_of_before_is_not_brought_back(given: Given) -> None:
    """Agreements R19, R22: another old screen of the same version is a new acceptance, not the withdrawn one."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    spare = await making.present(given, person, found)
    shown = await making.present(given, person, found)
    first = given.expect(await making.decide(given, person, shown))
    given.expect(await acting.withdraw(given, person, found))
    replayed = await making.decide(given, person, shown)
    assert (replayed.status_code, replayed.json()["result"], replayed.json()["compliant"]) == (200, "replayed", False)
    told = given.expect(await making.decide(given, person, spare))
    assert (told["result"], told["event"] != first["event"], told["compliant"]) == ("created", True, True)


async def test_r22_an_old_screen_after_a_newer_acceptance(given: Given) -> None:
    """Agreements R17, R22: what was withdrawn does not count as accepted before, although a later version is accepted."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    spare = await making.present(given, person, found)
    first = await making.accept(given, person, found)
    given.expect(await acting.withdraw(given, person, found))
    await making.create_published(given, found)
    await making.accept(given, person, found)
    told = given.expect(await making.decide(given, person, spare))
    assert (told["result"], told["ordinal"], told["event"] != first["event"], told["compliant"]) == ("created", 1, True, True)


async def test_r22_also_what_was_accepted_for_another_region(given: Given) -> None:
    """Agreements R12, R22: who moved away can still end what was agreed there."""
    world = await acting.create_in_force(given)
    canada = await acting.create_in_force(given, product=world["product"], region="CA")
    person = await given.logged_in(region="CA")
    await making.accept(given, person, canada)
    await acting.set_region(given, person, "NO")
    told = given.expect(await acting.withdraw(given, person, canada))
    assert told["outstanding"] == [{"document": world["id"], "ordinal": 1}]
    await acting.set_region(given, person, "CA")
    assert (await acting.find_item(given, person, canada))["status"] == "withdrawn"


async def test_r23_no_back_dating(given: Given) -> None:
    """Agreements R23: an event has the server's time, whatever the client says; the list says since when."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    given.clock.forward(minutes=5)
    claims = {"client_time": instant_text(given.clock.now() - timedelta(days=30))}
    told = given.expect(await making.decide(given, person, shown, claims=claims))
    assert told["at"] == instant_text(given.clock.now())
    assert (await acting.read_last_claims(given, person))["claims"] == claims
