"""Where one is logged in, and what ends it (authentication R59, R60)."""

from typing import Any

import pytest

from tests.assertions import problem
from tests.given import PASSWORD, Given, Person

NEW = "a wholly different staple"


async def sessions(given: Given, person: Person) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = given.expect(await given.client.get("/v1/me/sessions", headers=person.auth))["data"]
    return told


async def alive(given: Given, person: Person) -> bool:
    return (await given.client.get("/v1/me", headers=person.auth)).status_code == 200


async def refreshes(given: Given, person: Person) -> bool:
    answer = await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh})
    return answer.status_code == 200


async def elsewhere(given: Given, person: Person) -> Person:
    """The same person, logged in on another device."""
    return await given.logged_in(Person(person.id, person.email, person.password, person.secret))


async def test_a_user_sees_where_they_are_logged_in(given: Given) -> None:
    person = await given.person()
    device = {"fingerprint": "laptop-1", "name": "Laptop", "platform": "linux"}
    product = await given.product()
    body = {"identifier": person.email, "password": PASSWORD, "product": product["code"], "device": device}
    person.token = (await given.post("/v1/login", body, {}))["access_token"]
    other = await elsewhere(given, person)
    (newer, mine) = await sessions(given, person)
    assert (mine["current"], mine["product"], mine["device"]["name"], mine["acr"]) == (True, product["code"], "Laptop", "aal1")
    assert (newer["current"], newer["device"]) == (False, None)
    told = given.expect(await given.client.get(f"/v1/users/{person.id}/sessions", headers=given.root))["data"]
    assert {row["id"] for row in told} == {newer["id"], mine["id"]}
    assert await alive(given, other)


async def test_r60_one_session_or_all_others_end_at_once(given: Given) -> None:
    person = await given.logged_in()
    second, third = await elsewhere(given, person), await elsewhere(given, person)
    target = next(row["id"] for row in await sessions(given, second) if row["current"])
    for _ in range(2):
        assert (await given.client.delete(f"/v1/me/sessions/{target}", headers=person.auth)).status_code == 204
    assert [await alive(given, who) for who in (person, second, third)] == [True, False, True]
    assert (await given.client.delete("/v1/me/sessions", headers=person.auth)).status_code == 204
    assert [await alive(given, who) for who in (person, second, third)] == [True, False, False]
    assert not await refreshes(given, third)
    assert await refreshes(given, person)


async def test_nobody_ends_the_session_of_another(given: Given) -> None:
    person, other = await given.logged_in(), await given.logged_in()
    theirs = (await sessions(given, other))[0]["id"]
    problem(await given.client.delete(f"/v1/me/sessions/{theirs}", headers=person.auth), 404, "session_not_found")
    assert await alive(given, other)


async def test_r59_what_was_open_before_a_suspension_stays_shut_after_it(given: Given) -> None:
    person = await given.with_totp()
    begun = await given.post("/v1/login", {"identifier": person.email, "password": PASSWORD}, {})
    await given.post(f"/v1/users/{person.id}/suspend")
    assert not await refreshes(given, person)
    await given.post(f"/v1/users/{person.id}/restore")
    assert not await alive(given, person)
    assert not await refreshes(given, person)
    handle = {"Authorization": f"Login {begun['login']['token']}"}
    problem(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle), 401, "login_over")
    assert await alive(given, await given.logged_in(person))


async def test_r59_a_password_change_ends_all_other_sessions_and_logins(given: Given) -> None:
    person = await given.strong()
    given.clock.forward(seconds=30)
    other = await elsewhere(given, person)
    begun = await given.post("/v1/login", {"identifier": person.email, "password": PASSWORD}, {})
    body = {"current": PASSWORD, "new": NEW}
    assert (await given.client.post("/v1/me/password", json=body, headers=person.auth)).status_code == 204
    assert (await alive(given, person), await alive(given, other)) == (True, False)
    assert await refreshes(given, person)
    handle = {"Authorization": f"Login {begun['login']['token']}"}
    problem(await given.client.get("/v1/login", headers=handle), 401, "login_over")
    given.clock.forward(seconds=30)
    problem(await given.client.post("/v1/login", json={"identifier": person.email, "password": PASSWORD}), 401, "invalid_credentials")
    person.password = NEW
    assert await alive(given, await given.logged_in(person))


async def test_r59_adding_and_removing_a_factor_end_all_other_sessions(given: Given) -> None:
    person = await given.person()
    other = await elsewhere(given, person)
    await given.with_totp(person)
    assert (await alive(given, person), await alive(given, other)) == (True, False)
    await given.logged_in(person)
    given.clock.forward(seconds=30)
    other = await elsewhere(given, person)
    factors = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    totp = next(row["id"] for row in factors if row["kind"] == "totp")
    assert (await given.client.delete(f"/v1/me/factors/{totp}", headers=person.auth)).status_code == 204
    assert (await alive(given, person), await alive(given, other)) == (True, False)


async def test_r59_the_operators_reset_ends_every_session(given: Given) -> None:
    person = await given.strong()
    assert (await given.client.post(f"/v1/users/{person.id}/reset-factors", headers=given.root)).status_code == 204
    assert not await alive(given, person)
    person.secret = None
    told = await given.post("/v1/login", {"identifier": person.email, "password": PASSWORD}, {})
    assert (told["status"], told["session"]["acr"]) == ("complete", "aal1")


async def test_a_user_has_fifty_sessions_and_the_oldest_goes(given: Given) -> None:
    person = await given.logged_in()
    for _ in range(given.world.settings.sessions_per_user):
        last = await elsewhere(given, person)
        given.clock.forward(milliseconds=1)
    assert not await alive(given, person)
    page = given.expect(await given.client.get("/v1/me/sessions?limit=200", headers=last.auth))["data"]
    assert len(page) == 50


async def test_introspection_tells_what_a_token_stands_for_now(given: Given) -> None:
    person = await given.strong()

    async def asked(token: str | None) -> dict[str, Any]:
        return await given.post("/v1/introspect", {"token": token})

    told = await asked(person.token)
    assert (told["active"], told["sub"], told["acr"], told["token_type"]) == (True, person.id, "aal2", "Bearer")
    refresh = await asked(person.refresh)
    assert (refresh["active"], refresh["sub"], refresh["sid"], refresh["token_type"]) == (True, person.id, told["sid"], "refresh_token")
    for token in ("x", "rt_x", "eyJ.x.y", given.root["Authorization"].removeprefix("Bearer ")):
        assert await asked(token) == {"active": False}
    await given.post(f"/v1/users/{person.id}/suspend")
    assert await asked(person.token) == {"active": False}
    assert await asked(person.refresh) == {"active": False}


@pytest.mark.parametrize("path", ["/v1/introspect", "/v1/me/sessions"])
async def test_these_are_for_their_callers_alone(given: Given, path: str) -> None:
    person = await given.logged_in()
    if path == "/v1/introspect":
        problem(await given.client.post(path, json={"token": "x"}, headers=person.auth), 403, "operator_key_required")
    else:
        problem(await given.client.get(path, headers=given.root), 403, "subject_token_required")
