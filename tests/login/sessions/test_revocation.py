"""The list of a user's sessions, and what ends them (authentication R59, R60)."""

from typing import Any

import pytest

from tests.assertions import problem
from tests.given import PASSWORD, Given, Person

NEW = "a wholly different staple"


async def list_sessions(given: Given, person: Person) -> list[dict[str, Any]]:
    body: list[dict[str, Any]] = given.expect(await given.client.get("/v1/me/sessions", headers=person.auth))["data"]
    return body


async def is_alive(given: Given, person: Person) -> bool:
    return (await given.client.get("/v1/me", headers=person.auth)).status_code == 200


async def can_refresh(given: Given, person: Person) -> bool:
    answer = await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh})
    return answer.status_code == 200


async def log_in_elsewhere(given: Given, person: Person) -> Person:
    """Log the same person in on another device."""
    return await given.logged_in(Person(person.id, person.email, person.password, person.secret))


async def test_a_user_can_list_their_sessions(given: Given) -> None:
    person = await given.person()
    device = {"fingerprint": "laptop-1", "name": "Laptop", "platform": "linux"}
    product = await given.product()
    body = {"identifier": person.email, "password": PASSWORD, "product": product["code"], "device": device}
    person.token = (await given.post("/v1/login", body, {}))["access_token"]
    other = await log_in_elsewhere(given, person)
    (newer, current) = await list_sessions(given, person)
    assert (current["current"], current["product"], current["device"]["name"], current["acr"]) == (True, product["code"], "Laptop", "aal1")
    assert (newer["current"], newer["device"]) == (False, None)
    rows = given.expect(await given.client.get(f"/v1/users/{person.id}/sessions", headers=given.root))["data"]
    assert {row["id"] for row in rows} == {newer["id"], current["id"]}
    assert await is_alive(given, other)


async def test_r60_one_session_or_all_others_end_immediately(given: Given) -> None:
    person = await given.logged_in()
    second, third = await log_in_elsewhere(given, person), await log_in_elsewhere(given, person)
    target = next(row["id"] for row in await list_sessions(given, second) if row["current"])
    for _ in range(2):
        assert (await given.client.delete(f"/v1/me/sessions/{target}", headers=person.auth)).status_code == 204
    assert [await is_alive(given, user) for user in (person, second, third)] == [True, False, True]
    assert (await given.client.delete("/v1/me/sessions", headers=person.auth)).status_code == 204
    assert [await is_alive(given, user) for user in (person, second, third)] == [True, False, False]
    assert not await can_refresh(given, third)
    assert await can_refresh(given, person)


async def test_a_user_cannot_end_the_session_of_another_user(given: Given) -> None:
    person, other = await given.logged_in(), await given.logged_in()
    session_id = (await list_sessions(given, other))[0]["id"]
    problem(await given.client.delete(f"/v1/me/sessions/{session_id}", headers=person.auth), 404, "session_not_found")
    assert await is_alive(given, other)


async def test_r59_sessions_and_logins_from_before_a_suspension_stay_invalid_after_it(given: Given) -> None:
    person = await given.with_totp()
    login = await given.post("/v1/login", {"identifier": person.email, "password": PASSWORD}, {})
    await given.post(f"/v1/users/{person.id}/suspend")
    assert not await can_refresh(given, person)
    await given.post(f"/v1/users/{person.id}/restore")
    assert not await is_alive(given, person)
    assert not await can_refresh(given, person)
    handle = {"Authorization": f"Login {login['login']['token']}"}
    problem(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle), 401, "login_over")
    assert await is_alive(given, await given.logged_in(person))


async def test_r59_a_password_change_ends_all_other_sessions_and_logins(given: Given) -> None:
    person = await given.strong()
    given.clock.forward(seconds=30)
    other = await log_in_elsewhere(given, person)
    login = await given.post("/v1/login", {"identifier": person.email, "password": PASSWORD}, {})
    body = {"current": PASSWORD, "new": NEW}
    assert (await given.client.post("/v1/me/password", json=body, headers=person.auth)).status_code == 204
    assert (await is_alive(given, person), await is_alive(given, other)) == (True, False)
    assert await can_refresh(given, person)
    handle = {"Authorization": f"Login {login['login']['token']}"}
    problem(await given.client.get("/v1/login", headers=handle), 401, "login_over")
    given.clock.forward(seconds=30)
    problem(await given.client.post("/v1/login", json={"identifier": person.email, "password": PASSWORD}), 401, "invalid_credentials")
    person.password = NEW
    assert await is_alive(given, await given.logged_in(person))


async def test_r59_adding_and_removing_a_factor_end_all_other_sessions(given: Given) -> None:
    person = await given.person()
    other = await log_in_elsewhere(given, person)
    await given.with_totp(person)
    assert (await is_alive(given, person), await is_alive(given, other)) == (True, False)
    await given.logged_in(person)
    given.clock.forward(seconds=30)
    other = await log_in_elsewhere(given, person)
    factors = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    totp = next(row["id"] for row in factors if row["kind"] == "totp")
    assert (await given.client.delete(f"/v1/me/factors/{totp}", headers=person.auth)).status_code == 204
    assert (await is_alive(given, person), await is_alive(given, other)) == (True, False)


async def test_r59_a_factor_reset_by_the_operator_ends_every_session(given: Given) -> None:
    person = await given.strong()
    assert (await given.client.post(f"/v1/users/{person.id}/reset-factors", headers=given.root)).status_code == 204
    assert not await is_alive(given, person)
    person.secret = None
    body = await given.post("/v1/login", {"identifier": person.email, "password": PASSWORD}, {})
    assert (body["status"], body["session"]["acr"]) == ("complete", "aal1")


async def test_a_user_has_at_most_fifty_sessions_and_the_oldest_is_revoked(given: Given) -> None:
    person = await given.logged_in()
    for _ in range(given.world.settings.sessions_per_user):
        last = await log_in_elsewhere(given, person)
        given.clock.forward(milliseconds=1)
    assert not await is_alive(given, person)
    page = given.expect(await given.client.get("/v1/me/sessions?limit=200", headers=last.auth))["data"]
    assert len(page) == 50


async def test_introspection_reports_the_present_state_of_a_token(given: Given) -> None:
    person = await given.strong()

    async def introspect(token: str | None) -> dict[str, Any]:
        return await given.post("/v1/introspect", {"token": token})

    body = await introspect(person.token)
    assert (body["active"], body["sub"], body["acr"], body["token_type"]) == (True, person.id, "aal2", "Bearer")
    refresh = await introspect(person.refresh)
    assert (refresh["active"], refresh["sub"], refresh["sid"], refresh["token_type"]) == (True, person.id, body["sid"], "refresh_token")
    for token in ("x", "rt_x", "eyJ.x.y", given.root["Authorization"].removeprefix("Bearer ")):
        assert await introspect(token) == {"active": False}
    await given.post(f"/v1/users/{person.id}/suspend")
    assert await introspect(person.token) == {"active": False}
    assert await introspect(person.refresh) == {"active": False}


@pytest.mark.parametrize("path", ["/v1/introspect", "/v1/me/sessions"])
async def test_these_routes_refuse_other_kinds_of_callers(given: Given, path: str) -> None:
    person = await given.logged_in()
    if path == "/v1/introspect":
        problem(await given.client.post(path, json={"token": "x"}, headers=person.auth), 403, "operator_key_required")
    else:
        problem(await given.client.get(path, headers=given.root), 403, "subject_token_required")
