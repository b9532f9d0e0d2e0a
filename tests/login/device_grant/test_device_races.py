"""Concurrent calls for one device grant: one session opens it, one decision and one session result, every poll counts.

(authentication R43, R66)
"""

from typing import Any

from sqlalchemy import update

from app.login.device_grant.models import DeviceCode
from tests.concurrency.login_races import count_sessions
from tests.concurrency.seat_races import count_outcomes, run_at_once
from tests.given import Given, Person
from tests.login.device_grant.television import Television

MANY = 16


async def update_request(given: Given, **values: Any) -> None:
    async with given.world.db.write() as tx:
        await tx.execute(update(DeviceCode).values(values))


async def test_r66_one_approval_opens_one_session(given: Given) -> None:
    """All polls are on time, so only spending the approval separates them."""
    person = await given.logged_in()
    tv = await (await Television.on(given)).approve(person)
    await update_request(given, interval=0)
    answers = count_outcomes(await run_at_once([tv.poll() for _ in range(MANY)]))
    assert (answers["200"], answers["410 expired_token"]) == (1, MANY - 1)
    assert await count_sessions(given, person) == 2


async def test_r66_a_burst_of_polls_increases_the_interval(given: Given) -> None:
    """One poll is on time; each of the others adds five seconds."""
    tv = await Television.on(given)
    answers = await run_at_once([tv.poll() for _ in range(MANY)])
    assert count_outcomes(answers) == {"409 authorization_pending": 1, "429 slow_down": MANY - 1}
    slower = sorted(answer.json()["interval"] for answer in answers if answer.status_code == 429)
    assert slower == list(range(10, 10 + 5 * (MANY - 1), 5))


async def test_r66_only_one_of_two_concurrent_decisions_is_stored(given: Given) -> None:
    person = await given.logged_in()
    for _ in range(4):
        tv = await Television.on(given)
        given.expect(await tv.open(person))
        both = await run_at_once([tv.decide(person, decision) for decision in ("approve", "deny")])
        assert count_outcomes(both) == {"204": 1, "409 device_code_decided": 1}
        assert (await tv.poll_on_time()).status_code == (200 if both[0].status_code == 204 else 403)


async def test_r66_only_one_of_four_sessions_opens_the_request(given: Given) -> None:
    person = await given.logged_in()
    people = [person, await given.logged_in(Person(person.id, person.email)), await given.logged_in(), await given.logged_in()]
    tv = await Television.on(given)
    answers = await run_at_once([tv.open(person) for person in people])
    assert count_outcomes(answers) == {"200": 1, "404 device_code_not_found": len(people) - 1}
    [owner] = [each for each, answer in zip(people, answers, strict=True) if answer.is_success]
    assert (await tv.decide(owner)).status_code == 204


async def test_r43_five_wrong_user_codes_of_a_burst_are_checked(given: Given) -> None:
    person = await given.logged_in()
    calls = [given.client.get("/v1/device", params={"user_code": f"BBBB-BBB{n}"}, headers=person.auth) for n in range(MANY)]
    assert count_outcomes(await run_at_once(calls)) == {"404 device_code_not_found": 5, "429 too_many_attempts": MANY - 5}


async def test_r58_concurrent_revocation_erasure_poll_and_decision_do_not_deadlock(given: Given) -> None:
    """In any order nothing fails, and what has ended stays ended."""
    for end in ("logout", "erase"):
        person = await given.logged_in()
        tv, other = await (await Television.on(given)).approve(person), await Television.on(given)
        given.expect(await other.open(person))
        path, auth = ("/v1/logout", person.auth) if end == "logout" else (f"/v1/users/{person.id}/erase", given.root)
        unopened = await Television.on(given)
        end_session = given.client.post(path, headers=auth)
        answers = await run_at_once([tv.poll(), end_session, unopened.open(person), other.decide(person)])
        assert answers[1].is_success
        assert {answer.status_code for answer in answers} <= {200, 204, 401, 403, 404, 410}
        assert (await other.poll_on_time()).status_code in {403, 409, 410}
