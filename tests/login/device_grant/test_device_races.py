"""Many hands on one short code at once: one opens it, one decision stands, one session comes of it, every poll counts (authentication R43, R66)."""

from typing import Any

from sqlalchemy import update

from app.login.device_grant.models import DeviceCode
from tests.concurrency.login_races import sessions
from tests.concurrency.seat_races import at_once, told
from tests.given import Given, Person
from tests.login.factors.authenticator import Television

MANY = 16


async def stored(given: Given, **values: Any) -> None:
    async with given.world.db.write() as tx:
        await tx.execute(update(DeviceCode).values(values))


async def test_r66_one_approval_opens_one_session(given: Given) -> None:
    """Polls that all waited long enough: here nothing but the spending of the approval keeps them apart."""
    person = await given.logged_in()
    tv = await (await Television.on(given)).approved(person)
    await stored(given, interval=0)
    answers = told(await at_once([tv.poll() for _ in range(MANY)]))
    assert (answers["200"], answers["410 expired_token"]) == (1, MANY - 1)
    assert await sessions(given, person) == 2


async def test_r66_a_storm_of_polls_slows_itself_down(given: Given) -> None:
    """One is in time; each of the others adds its five seconds."""
    tv = await Television.on(given)
    answers = await at_once([tv.poll() for _ in range(MANY)])
    assert told(answers) == {"409 authorization_pending": 1, "429 slow_down": MANY - 1}
    slower = sorted(answer.json()["interval"] for answer in answers if answer.status_code == 429)
    assert slower == list(range(10, 10 + 5 * (MANY - 1), 5))


async def test_r66_one_decision_stands(given: Given) -> None:
    person = await given.logged_in()
    for _ in range(4):
        tv = await Television.on(given)
        given.expect(await tv.opened(person))
        both = await at_once([tv.decided(person, decision) for decision in ("approve", "deny")])
        assert told(both) == {"204": 1, "409 device_code_decided": 1}
        assert (await tv.polled()).status_code == (200 if both[0].status_code == 204 else 403)


async def test_r66_one_session_opens_it(given: Given) -> None:
    person = await given.logged_in()
    hands = [person, await given.logged_in(Person(person.id, person.email)), await given.logged_in(), await given.logged_in()]
    tv = await Television.on(given)
    answers = await at_once([tv.opened(hand) for hand in hands])
    assert told(answers) == {"200": 1, "404 device_code_not_found": len(hands) - 1}
    [owner] = [hand for hand, answer in zip(hands, answers, strict=True) if answer.is_success]
    assert (await tv.decided(owner)).status_code == 204


async def test_r43_a_burst_of_wrong_user_codes_gets_five_looks(given: Given) -> None:
    person = await given.logged_in()
    calls = [given.client.get("/v1/device", params={"user_code": f"BBBB-BBB{n}"}, headers=person.auth) for n in range(MANY)]
    assert told(await at_once(calls)) == {"404 device_code_not_found": 5, "429 too_many_attempts": MANY - 5}


async def test_r58_nobody_waits_for_each_other_in_a_circle(given: Given) -> None:
    """A revoke, an erasure, a poll, a look and a decision at once: whoever comes first, nothing breaks, and what is over stays over."""
    for end in ("logout", "erase"):
        person = await given.logged_in()
        tv, other = await (await Television.on(given)).approved(person), await Television.on(given)
        given.expect(await other.opened(person))
        path, auth = ("/v1/logout", person.auth) if end == "logout" else (f"/v1/users/{person.id}/erase", given.root)
        fresh = await Television.on(given)
        ended = given.client.post(path, headers=auth)
        answers = await at_once([tv.poll(), ended, fresh.opened(person), other.decided(person)])
        assert answers[1].is_success
        assert {answer.status_code for answer in answers} <= {200, 204, 401, 403, 404, 410}
        assert (await other.polled()).status_code in {403, 409, 410}
