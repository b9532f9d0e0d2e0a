"""Refresh tokens: each is exchanged once, a lost response may be repeated, and reuse ends the session (authentication R54 to R58)."""

from typing import Any

import httpx
from sqlalchemy import func, select

from app.events.models import Event
from app.login.models import RefreshToken
from tests.assertions import problem
from tests.given import Given, Person


async def exchange(given: Given, token: str | None, **headers: str) -> httpx.Response:
    return await given.client.post("/v1/token/refresh", json={"refresh_token": token}, headers=headers)


async def rotate(given: Given, person: Person) -> dict[str, Any]:
    body = given.expect(await exchange(given, person.refresh))
    person.token, person.refresh = body["access_token"], body["refresh_token"]
    return body


async def get_me_status(given: Given, person: Person) -> int:
    return (await given.client.get("/v1/me", headers=person.auth)).status_code


async def test_r57_each_token_is_exchanged_for_the_next(given: Given) -> None:
    person = await given.logged_in()
    first = person.refresh
    given.clock.forward(minutes=9)
    body = await rotate(given, person)
    assert (body["status"], body["token_type"], body["session"]["acr"]) == ("complete", "Bearer", "aal1")
    assert (body["expires_in"], body["refresh_expires_in"]) == (600, 14 * 86400)
    assert person.refresh != first
    assert await get_me_status(given, person) == 200


async def test_r54_the_token_is_stored_as_a_digest(given: Given) -> None:
    person = await given.logged_in()
    assert person.refresh is not None
    assert person.refresh.startswith("rt_")
    async with given.world.db.query() as tx:
        stored = await tx.scalar(select(RefreshToken.token_hash))
    assert person.refresh.encode() not in bytes(stored or b"")


async def test_r57_an_exchange_may_be_repeated_for_ten_seconds(given: Given) -> None:
    """The token of the lost response is dropped; the session continues with the new one."""
    person = await given.logged_in()
    parent = person.refresh
    lost = given.expect(await exchange(given, parent))["refresh_token"]
    given.clock.forward(seconds=10)
    person.refresh = parent
    await rotate(given, person)
    given.clock.forward(seconds=1)
    await rotate(given, person)
    assert await get_me_status(given, person) == 200
    problem(await exchange(given, lost), 401, "token_invalid")
    assert await get_me_status(given, person) == 401  # only a copy can present a dropped token


async def test_r57_reuse_of_a_token_ends_the_session(given: Given) -> None:
    for wait, use_child in ((10.001, False), (1, True)):
        person = await given.logged_in()
        parent = person.refresh
        child = await rotate(given, person)
        if use_child:
            child = await rotate(given, person)
        given.clock.forward(seconds=wait)
        problem(await exchange(given, parent), 401, "token_invalid")
        problem(await exchange(given, child["refresh_token"]), 401, "token_invalid")
        assert await get_me_status(given, person) == 401
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(Event).where(Event.type == "session.token_reused")) == 2


async def test_r57_reuse_ends_the_session_also_with_an_idempotency_key(given: Given) -> None:
    person = await given.logged_in()
    parent = person.refresh
    await rotate(given, person)
    given.clock.forward(seconds=11)
    answers = [await exchange(given, parent, **{"Idempotency-Key": "again"}) for _ in range(2)]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(401, "token_invalid")] * 2
    assert await get_me_status(given, person) == 401


async def test_an_idempotency_key_repeats_the_same_tokens(given: Given) -> None:
    person = await given.logged_in()
    answers = [await exchange(given, person.refresh, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotency-replayed"] == "true"


async def test_r56_a_session_expires_when_idle_and_after_its_lifetime(given: Given) -> None:
    person = await given.logged_in()
    given.clock.forward(days=14)
    problem(await exchange(given, person.refresh), 401, "token_invalid")
    person = await given.logged_in()
    for _ in range(2):
        given.clock.forward(days=13)
        await rotate(given, person)
    given.clock.forward(days=3)
    body = await rotate(given, person)
    assert body["refresh_expires_in"] == 86400
    given.clock.forward(days=1)
    problem(await exchange(given, person.refresh), 401, "token_invalid")


async def test_r56_assurance_expires_in_a_refreshed_session(given: Given) -> None:
    person = await given.strong()
    given.clock.forward(hours=24)
    assert (await rotate(given, person))["session"]["acr"] == "aal1"


async def test_r55_a_step_up_replaces_the_refresh_token(given: Given) -> None:
    person = await given.with_totp()
    login = await given.post("/v1/step-up", {}, person.auth)
    handle = {"Authorization": f"Login {login['login']['token']}"}
    raised = given.expect(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle))
    assert raised["refresh_token"] != person.refresh
    given.clock.forward(seconds=11)
    problem(await exchange(given, person.refresh), 401, "token_invalid")
    problem(await exchange(given, raised["refresh_token"]), 401, "token_invalid")


async def test_r58_a_refresh_after_logout_is_refused(given: Given) -> None:
    person = await given.logged_in()
    await given.client.post("/v1/logout", headers=person.auth)
    problem(await exchange(given, person.refresh), 401, "token_invalid")


async def test_strings_that_are_not_refresh_tokens_are_refused(given: Given) -> None:
    person = await given.logged_in()
    for token in ("rt_nothing", "x", person.token):
        problem(await exchange(given, (token or "")[:128]), 401, "token_invalid")
