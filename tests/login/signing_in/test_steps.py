"""Logins that want more: a second factor to be set up, a password to be changed (authentication R52, R55, R78)."""

from typing import Any

from fastapi import FastAPI

from tests.assertions import problem
from tests.given import PASSWORD, Given, Person

NEW = "a wholly different staple"
ENROL = [{"need": "second_factor", "any_of": [{"action": "enroll_totp", "href": "/v1/login/totp/enroll"}]}]
CHANGE = [{"need": "new_password", "any_of": [{"action": "change_password", "href": "/v1/login/password"}]}]


async def state(given: Given, handle: dict[str, str]) -> dict[str, Any]:
    return given.expect(await given.client.get("/v1/login", headers=handle))


async def enrolled(given: Given, person: Person, handle: dict[str, str]) -> dict[str, Any]:
    """Set an authenticator up within the login; what the confirmation answers."""
    made = await given.post("/v1/login/totp/enroll", {}, handle)
    person.secret = made["secret"]
    return await given.post("/v1/login/totp/confirm", {"code": given.totp(person)}, handle)


async def test_where_a_second_factor_is_required_a_login_goes_on_by_setting_one_up(given: Given, app: FastAPI) -> None:
    given.configured(app, mfa="required")
    person = await given.person()
    handle = await given.begin(person)
    assert (await state(given, handle))["next"] == ENROL
    problem(await given.client.post("/v1/login/totp", json={"code": "123456"}, headers=handle), 409, "login_step_not_due")
    told = await enrolled(given, person, handle)
    assert (told["status"], told["session"]["acr"], told["session"]["amr"]) == ("complete", "aal2", ["pwd", "otp", "mfa"])
    assert len(told["recovery_codes"]) == 10
    problem(await given.client.get("/v1/login", headers=handle), 401, "login_over")
    given.clock.forward(seconds=30)
    assert (await given.logged_in(person)).token


async def test_so_it_does_where_the_product_wants_one(given: Given) -> None:
    person = await given.person()
    plain, strict = await given.product(), await given.product(requires=["second_factor"])
    body = {"identifier": person.email, "password": PASSWORD}
    assert (await given.post("/v1/login", {**body, "product": plain["code"]}, {}))["status"] == "complete"
    handle = await given.begin(person, product=strict["code"])
    assert (await state(given, handle))["next"] == ENROL
    problem(await given.client.post("/v1/login", json={**body, "product": "nowhere"}), 404, "product_not_found")


async def test_wrong_codes_of_an_enrolment_end_the_login_too(given: Given, app: FastAPI) -> None:
    given.configured(app, mfa="required")
    handle = await given.begin(await given.person())
    await given.post("/v1/login/totp/enroll", {}, handle)
    for _ in range(5):
        problem(await given.client.post("/v1/login/totp/confirm", json={"code": "000000"}, headers=handle), 401, "code_refused")
    problem(await given.client.post("/v1/login/totp/enroll", headers=handle), 401, "login_over")


async def test_r21_the_password_of_an_enrolling_login_is_fresh(given: Given, app: FastAPI) -> None:
    given.configured(app, mfa="required")
    handle = await given.begin(await given.person())
    given.clock.forward(minutes=5, milliseconds=1)
    problem(await given.client.post("/v1/login/totp/enroll", headers=handle), 401, "login_over")


async def test_a_password_that_has_to_be_changed_is_changed_before_the_login_ends(given: Given) -> None:
    person = await given.person(password_change_required=True)
    handle = await given.begin(person)
    assert (await state(given, handle))["next"] == CHANGE
    answer = await given.client.post("/v1/login/password", json={"new": "short"}, headers=handle)
    assert problem(answer, 422, "malformed")["errors"][0]["code"] == "password_too_short"
    told = await given.post("/v1/login/password", {"new": NEW}, handle)
    assert told["status"] == "complete"
    problem(await given.client.post("/v1/login", json={"identifier": person.email, "password": PASSWORD}), 401, "invalid_credentials")
    person.password = NEW
    assert (await given.logged_in(person)).token


async def test_only_who_has_shown_the_second_factor_may_change_it(given: Given, app: FastAPI) -> None:
    given.configured(app, mfa="required")
    person = await given.person(password_change_required=True)
    handle = await given.begin(person)
    problem(await given.client.post("/v1/login/password", json={"new": NEW}, headers=handle), 409, "login_step_not_due")
    told = await enrolled(given, person, handle)
    assert (told["status"], told["done"], told["next"]) == ("incomplete", ["password", "second_factor"], CHANGE)
    assert len(told["recovery_codes"]) == 10
    told = await given.post("/v1/login/password", {"new": NEW}, handle)
    assert (told["status"], told["session"]["acr"]) == ("complete", "aal2")


async def test_a_cancelled_login_takes_no_step(given: Given) -> None:
    person = await given.person(password_change_required=True)
    handle = await given.begin(person)
    assert (await given.client.delete("/v1/login", headers=handle)).status_code == 204
    problem(await given.client.post("/v1/login/password", json={"new": NEW}, headers=handle), 401, "login_over")


async def test_r67_a_step_up_changes_no_password(given: Given) -> None:
    person = await given.strong()
    begun = await given.post("/v1/step-up", {}, person.auth)
    handle = {"Authorization": f"Login {begun['login']['token']}"}
    problem(await given.client.post("/v1/login/password", json={"new": NEW}, headers=handle), 409, "login_step_not_due")
    assert begun["next"][0]["need"] == "second_factor"
