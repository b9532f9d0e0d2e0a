"""Logins with further steps: setting up a second factor, changing the password (authentication R52, R55, R78)."""

from typing import Any

from fastapi import FastAPI

from tests.assertions import problem
from tests.given import PASSWORD, Given, Person

NEW = "a wholly different staple"
ENROL = [{"need": "second_factor", "any_of": [{"action": "enroll_totp", "href": "/v1/login/totp/enroll"}]}]
CHANGE = [{"need": "new_password", "any_of": [{"action": "change_password", "href": "/v1/login/password"}]}]


async def get_state(given: Given, handle: dict[str, str]) -> dict[str, Any]:
    return given.expect(await given.client.get("/v1/login", headers=handle))


async def enrol(given: Given, person: Person, handle: dict[str, str]) -> dict[str, Any]:
    """Set up an authenticator during the login and return the response to the confirmation."""
    created = await given.post("/v1/login/totp/enroll", {}, handle)
    person.secret = created["secret"]
    return await given.post("/v1/login/totp/confirm", {"code": given.totp(person)}, handle)


async def test_a_required_second_factor_is_set_up_during_the_login(given: Given, app: FastAPI) -> None:
    given.configured(app, mfa="required")
    person = await given.person()
    handle = await given.begin(person)
    assert (await get_state(given, handle))["next"] == ENROL
    problem(await given.client.post("/v1/login/totp", json={"code": "123456"}, headers=handle), 409, "login_step_not_due")
    body = await enrol(given, person, handle)
    assert (body["status"], body["session"]["acr"], body["session"]["amr"]) == ("complete", "aal2", ["pwd", "otp", "mfa"])
    assert len(body["recovery_codes"]) == 10
    problem(await given.client.get("/v1/login", headers=handle), 401, "login_over")
    given.clock.forward(seconds=30)
    assert (await given.logged_in(person)).token


async def test_a_second_factor_required_by_the_product_is_set_up_during_the_login(given: Given) -> None:
    person = await given.person()
    plain, strict = await given.product(), await given.product(requires=["second_factor"])
    body = {"identifier": person.email, "password": PASSWORD}
    assert (await given.post("/v1/login", {**body, "product": plain["code"]}, {}))["status"] == "complete"
    handle = await given.begin(person, product=strict["code"])
    assert (await get_state(given, handle))["next"] == ENROL
    problem(await given.client.post("/v1/login", json={**body, "product": "nowhere"}), 404, "product_not_found")


async def test_five_wrong_enrolment_codes_end_the_login(given: Given, app: FastAPI) -> None:
    given.configured(app, mfa="required")
    handle = await given.begin(await given.person())
    await given.post("/v1/login/totp/enroll", {}, handle)
    for _ in range(5):
        problem(await given.client.post("/v1/login/totp/confirm", json={"code": "000000"}, headers=handle), 401, "code_refused")
    problem(await given.client.post("/v1/login/totp/enroll", headers=handle), 401, "login_over")


async def test_r21_an_enrolment_requires_a_recently_checked_password(given: Given, app: FastAPI) -> None:
    given.configured(app, mfa="required")
    handle = await given.begin(await given.person())
    given.clock.forward(minutes=5, milliseconds=1)
    problem(await given.client.post("/v1/login/totp/enroll", headers=handle), 401, "login_over")


async def test_a_required_password_change_completes_the_login(given: Given) -> None:
    person = await given.person(password_change_required=True)
    handle = await given.begin(person)
    assert (await get_state(given, handle))["next"] == CHANGE
    answer = await given.client.post("/v1/login/password", json={"new": "short"}, headers=handle)
    assert problem(answer, 422, "malformed")["errors"][0]["code"] == "password_too_short"
    body = await given.post("/v1/login/password", {"new": NEW}, handle)
    assert body["status"] == "complete"
    problem(await given.client.post("/v1/login", json={"identifier": person.email, "password": PASSWORD}), 401, "invalid_credentials")
    person.password = NEW
    assert (await given.logged_in(person)).token


async def test_the_password_is_changed_only_after_the_second_factor(given: Given, app: FastAPI) -> None:
    given.configured(app, mfa="required")
    person = await given.person(password_change_required=True)
    handle = await given.begin(person)
    problem(await given.client.post("/v1/login/password", json={"new": NEW}, headers=handle), 409, "login_step_not_due")
    body = await enrol(given, person, handle)
    assert (body["status"], body["done"], body["next"]) == ("incomplete", ["password", "second_factor"], CHANGE)
    assert len(body["recovery_codes"]) == 10
    body = await given.post("/v1/login/password", {"new": NEW}, handle)
    assert (body["status"], body["session"]["acr"]) == ("complete", "aal2")


async def test_a_cancelled_login_refuses_all_steps(given: Given) -> None:
    person = await given.person(password_change_required=True)
    handle = await given.begin(person)
    assert (await given.client.delete("/v1/login", headers=handle)).status_code == 204
    problem(await given.client.post("/v1/login/password", json={"new": NEW}, headers=handle), 401, "login_over")


async def test_r67_a_step_up_cannot_change_the_password(given: Given) -> None:
    person = await given.strong()
    login = await given.post("/v1/step-up", {}, person.auth)
    handle = {"Authorization": f"Login {login['login']['token']}"}
    problem(await given.client.post("/v1/login/password", json={"new": NEW}, headers=handle), 409, "login_step_not_due")
    assert login["next"][0]["need"] == "second_factor"
