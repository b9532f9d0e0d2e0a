"""Withdrawing from an agreement: from now on, once, never retroactively (agreements R22)."""

from datetime import timedelta

import jwt

from app.base.durations import instant_text
from tests.agreements import acting, making
from tests.agreements.making import status_and_code
from tests.given import Given


async def test_r22_access_ends_and_the_past_stays(given: Given) -> None:
    """Agreements R22: access ends; earlier events are kept; accepting again later is a new event."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    first = await making.accept(given, person, agreement)
    assert (await given.access(agreement["product"], person))["allow"] is True
    given.clock.forward(minutes=1)
    answer = await acting.withdraw(given, person, agreement)
    result = answer.json()
    assert (answer.status_code, result["type"], result["result"], result["ordinal"]) == (201, "withdrawn", "created", 1)
    assert (result["compliant"], result["outstanding"]) == (False, [{"document": agreement["id"], "ordinal": 1}])
    denied = await given.access(agreement["product"], person)
    assert (denied["allow"], denied["code"], denied["grant"]) == (False, "agreement_required", None)
    item = await acting.find_item(given, person, agreement)
    assert (item["status"], item["accepted"]) == ("withdrawn", None)
    listed = given.expect(await given.client.get("/v1/me/receipts", headers=person.auth))["data"]
    assert [each["type"] for each in listed] == ["withdrawn", "accepted"]
    again = await making.accept(given, person, agreement)
    assert (again["result"], again["event"] != first["event"]) == ("created", True)
    assert (await given.access(agreement["product"], person))["allow"] is True
    assert await acting.list_events(given, person) == ["accepted", "withdrawn", "accepted"]


async def test_r22_the_receipt_of_a_withdrawal(given: Given) -> None:
    """Agreements R14, R22: it refers to the last accepted text and has no presentation."""
    agreement = await acting.create_in_force(given, "en", "nb")
    person = await given.logged_in(age_band="adult")
    given.expect(await making.decide(given, person, await making.present(given, person, agreement, locale="nb")))
    accepted = await acting.read_last_claims(given, person)
    await making.create_published(given, agreement)
    result = given.expect(await acting.withdraw(given, person, agreement))
    claims = jwt.decode(result["receipt"]["jws"], options={"verify_signature": False})
    assert (claims["event"], claims["seq"], claims["txt"], claims["ord"]) == ("withdrawn", 2, accepted["txt"], 1)
    assert (claims["locale"], claims["capacity"], claims["amr"]) == ("nb", "adult", ["pwd"])
    assert not {"prs", "presented_at", "format", "fallback"} & set(claims)
    assert result["outstanding"] == [{"document": agreement["id"], "ordinal": 2}]
    one = given.expect(await given.client.get(result["receipt"]["url"], headers=person.auth))
    assert (one["type"], one["jws"]) == ("withdrawn", result["receipt"]["jws"])


async def test_r22_nothing_to_withdraw(given: Given) -> None:
    """Agreements R22: only an acceptance can be withdrawn, and only once."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    assert status_and_code(await acting.withdraw(given, person, agreement)) == (409, "nothing_to_withdraw")
    given.expect(await making.decide(given, person, await making.present(given, person, agreement), "decline"))
    assert status_and_code(await acting.withdraw(given, person, agreement)) == (409, "nothing_to_withdraw")
    await making.accept(given, person, agreement)
    first = given.expect(await acting.withdraw(given, person, agreement))
    second = await acting.withdraw(given, person, agreement)
    assert (second.status_code, second.json()) == (200, {**first, "result": "replayed"})
    assert await acting.list_events(given, person) == ["declined", "accepted", "withdrawn"]
    unknown = {"id": person.id}
    assert status_and_code(await acting.withdraw(given, person, unknown)) == (404, "agreement_not_found")


async def test_r22_there_is_no_grace_after_a_withdrawal(given: Given) -> None:
    """Agreements R9, R22: without an acceptance there is no grace."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    await making.create_published(given, agreement, grace_until=making.days_from_now(given, 7))
    assert (await given.access(agreement["product"], person))["allow"] is True
    result = given.expect(await acting.withdraw(given, person, agreement))
    assert result["outstanding"] == [{"document": agreement["id"], "ordinal": 2}]
    assert (await given.access(agreement["product"], person))["code"] == "agreement_required"


async def test_r22_an_earlier_acceptance_is_not_restored(given: Given) -> None:
    """Agreements R19, R22: deciding on another old presentation of the version is a new acceptance."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    spare = await making.present(given, person, agreement)
    presentation = await making.present(given, person, agreement)
    first = given.expect(await making.decide(given, person, presentation))
    given.expect(await acting.withdraw(given, person, agreement))
    replayed = await making.decide(given, person, presentation)
    assert (replayed.status_code, replayed.json()["result"], replayed.json()["compliant"]) == (200, "replayed", False)
    result = given.expect(await making.decide(given, person, spare))
    assert (result["result"], result["event"] != first["event"], result["compliant"]) == ("created", True, True)


async def test_r22_an_old_screen_after_a_newer_acceptance(given: Given) -> None:
    """Agreements R17, R22: a withdrawn acceptance does not count, although a later version is accepted."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    spare = await making.present(given, person, agreement)
    first = await making.accept(given, person, agreement)
    given.expect(await acting.withdraw(given, person, agreement))
    await making.create_published(given, agreement)
    await making.accept(given, person, agreement)
    result = given.expect(await making.decide(given, person, spare))
    assert (result["result"], result["ordinal"], result["event"] != first["event"], result["compliant"]) == ("created", 1, True, True)


async def test_r22_also_what_was_accepted_for_another_region(given: Given) -> None:
    """Agreements R12, R22: after moving, the user can still withdraw from the old region's agreement."""
    world = await acting.create_in_force(given)
    canada = await acting.create_in_force(given, product=world["product"], region="CA")
    person = await given.logged_in(region="CA")
    await making.accept(given, person, canada)
    await acting.set_region(given, person, "NO")
    result = given.expect(await acting.withdraw(given, person, canada))
    assert result["outstanding"] == [{"document": world["id"], "ordinal": 1}]
    await acting.set_region(given, person, "CA")
    assert (await acting.find_item(given, person, canada))["status"] == "withdrawn"


async def test_r23_no_back_dating(given: Given) -> None:
    """Agreements R23: an event has the server's time, whatever the client says; the list says since when."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    given.clock.forward(minutes=5)
    claims = {"client_time": instant_text(given.clock.now() - timedelta(days=30))}
    result = given.expect(await making.decide(given, person, presentation, claims=claims))
    assert result["at"] == instant_text(given.clock.now())
    assert (await acting.read_last_claims(given, person))["claims"] == claims
