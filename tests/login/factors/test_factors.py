"""Tests of listing, renaming, adding and removing several authenticators, with a step-up (authentication R21, R22)."""

from tests.assertions import problem
from tests.given import PASSWORD, Given, Person
from tests.login.factors.steps import list_factors


async def add_authenticator(given: Given, person: Person) -> Person:
    """Add another authenticator app for a person who is logged in with two factors."""
    enrolment = await given.post("/v1/me/totp", {"name": "tablet"}, person.auth)
    device = Person(person.id, person.email, person.password, enrolment["secret"], person.token)
    await given.post(f"/v1/me/totp/{enrolment['id']}/confirm", {"code": given.totp(device)}, person.auth)
    return device


async def test_any_of_several_authenticators_completes_a_login(given: Given) -> None:
    phone = await given.strong()
    tablet = await add_authenticator(given, phone)
    assert [(row["kind"], row["state"], row["name"]) for row in await list_factors(given, phone)] == [
        ("totp", "active", "tablet"),
        ("totp", "active", None),
        ("password", "active", None),
    ]
    for device in (phone, tablet):
        given.clock.forward(seconds=30)
        body = {"identifier": phone.email, "password": PASSWORD, "totp": given.totp(device)}
        assert (await given.post("/v1/login", body, {}))["session"]["acr"] == "aal2"


async def test_only_the_owner_reads_names_and_removes_a_factor(given: Given) -> None:
    person = await given.strong()
    totp = next(row for row in await list_factors(given, person) if row["kind"] == "totp")
    path = f"/v1/me/factors/{totp['id']}"
    assert given.expect(await given.client.patch(path, json={"name": "Phone"}, headers=person.auth))["name"] == "Phone"
    assert given.expect(await given.client.get(path, headers=person.auth))["name"] == "Phone"
    other = await given.logged_in()
    for answer in (
        await given.client.get(path, headers=other.auth),
        await given.client.patch(path, json={"name": "Mine"}, headers=other.auth),
        await given.client.delete(path, headers=other.auth),
    ):
        problem(answer, 404, "factor_not_found")


async def test_r22_removing_an_authenticator_requires_a_second_factor(given: Given) -> None:
    person = await given.strong()
    totp = next(row["id"] for row in await list_factors(given, person) if row["kind"] == "totp")
    given.clock.forward(minutes=5, milliseconds=1)
    path = f"/v1/me/factors/{totp}"
    problem(await given.client.delete(path, headers=person.auth), 401, "step_up_required")
    login = await given.post("/v1/step-up", {}, person.auth)
    handle = {"Authorization": f"Login {login['login']['token']}"}
    person.token = (await given.post("/v1/login/totp", {"code": given.totp(person)}, handle))["access_token"]
    assert (await given.client.delete(path, headers=person.auth)).status_code == 204
    problem(await given.client.delete(path, headers=person.auth), 404, "factor_not_found")


async def test_r22_removing_the_last_authenticator_discards_the_recovery_codes(given: Given) -> None:
    person = await given.strong()
    tablet = await add_authenticator(given, person)
    path = "/v1/me/recovery-codes"
    for remaining, row in zip((10, 0), [row for row in await list_factors(given, person) if row["kind"] == "totp"], strict=True):
        assert (await given.client.delete(f"/v1/me/factors/{row['id']}", headers=tablet.auth)).status_code == 204
        assert given.expect(await given.client.get(path, headers=person.auth))["remaining"] == remaining


async def test_the_password_cannot_be_removed(given: Given) -> None:
    person = await given.logged_in()
    (password,) = await list_factors(given, person)
    problem(await given.client.delete(f"/v1/me/factors/{password['id']}", headers=person.auth), 409, "factor_indispensable")


async def test_an_operator_lists_factors_without_secrets_and_resets_them(given: Given) -> None:
    person = await given.with_totp()
    answer = await given.client.get(f"/v1/users/{person.id}/factors", headers=given.root)
    assert [row["kind"] for row in answer.json()["data"]] == ["totp", "password"]
    assert str(person.secret) not in answer.text
    assert (await given.client.post(f"/v1/users/{person.id}/reset-factors", headers=given.root)).status_code == 204
    result = given.expect(await given.client.get(f"/v1/users/{person.id}/factors", headers=given.root))
    assert [row["kind"] for row in result["data"]] == ["password"]
    nobody = "01a20460-ef73-719c-b7be-883c0c34ba9f"
    problem(await given.client.post(f"/v1/users/{nobody}/reset-factors", headers=given.root), 404, "user_not_found")
