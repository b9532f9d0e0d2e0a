"""Regression tests of faults found by attacking passkeys and device grants."""

from typing import Any

import pytest

from tests.assertions import problem
from tests.authenticator import UP, b64
from tests.given import Given, Person
from tests.login.factors.steps import begin_step_up, list_factors, login_options

LOGIN = "/v1/login/passkey"


pytestmark = pytest.mark.usefixtures("relying_party")


async def log_in_by_device_grant(given: Given, person: Person) -> Person:
    """Log an application in by a device grant that the person's session approves."""
    grant = await given.post("/v1/device/code", {}, {})
    given.expect(await given.client.get(f"/v1/device?user_code={grant['user_code']}", headers=person.auth))
    given.expect(await given.client.post("/v1/device/approve", json={"user_code": grant["user_code"]}, headers=person.auth))
    result = await given.post("/v1/device/token", {"device_code": grant["device_code"]}, {})
    return Person(person.id, person.email, token=result["access_token"], authenticator=person.authenticator)


async def test_r31_without_a_password_a_step_up_requires_user_verification(given: Given) -> None:
    person = await given.with_passkey()
    await given.by_passkey(person)
    person.authenticator.flags = UP
    handle = await begin_step_up(given, person)
    options = await login_options(given, handle)
    assert options["userVerification"] == "required"
    body = {"credential": person.authenticator.get(options)}
    problem(await given.client.post(LOGIN, json=body, headers=handle), 401, "user_verification_required")


async def test_r66_a_session_opened_by_a_device_grant_cannot_manage_the_account(given: Given) -> None:
    """The proofs of the approving session do not count for the application's session; its own step-up does."""
    person = await given.with_passkey(await given.strong())
    await given.by_passkey(person)
    tv = await log_in_by_device_grant(given, person)
    passkey = (await list_factors(given, person))[0]["id"]
    for method, path, body in (
        ("POST", "/v1/me/passkeys/options", None),
        ("POST", "/v1/me/totp", {}),
        ("POST", "/v1/me/recovery-codes", None),
        ("DELETE", f"/v1/me/factors/{passkey}", None),
        ("POST", "/v1/me/email", {"email": "thief@example.com"}),
        ("DELETE", "/v1/me", None),
    ):
        problem(await given.client.request(method, path, json=body, headers=tv.auth), 401, "step_up_required")
    grant = await given.post("/v1/device/code", {}, {})
    given.expect(await given.client.get(f"/v1/device?user_code={grant['user_code']}", headers=tv.auth))
    answer = await given.client.post("/v1/device/approve", json={"user_code": grant["user_code"]}, headers=tv.auth)
    problem(answer, 401, "step_up_required")
    handle = await begin_step_up(given, tv)
    assertion = {"credential": tv.authenticator.get(await login_options(given, handle))}
    tv.token = (await given.post(LOGIN, assertion, handle))["access_token"]
    given.expect(await given.client.post("/v1/me/passkeys/options", headers=tv.auth))


@pytest.mark.parametrize("name", ["A", "AAAAA"])
async def test_an_id_that_is_not_base64url_is_malformed(given: Given, name: str) -> None:
    person = await given.with_passkey()
    assertion = person.authenticator.get(await login_options(given)) | {"id": name}
    problem(await given.client.post(LOGIN, json={"credential": assertion}), 422, "malformed")


@pytest.mark.parametrize("change", [{"transports": ["\0"]}, {"transports": [" "]}])
async def test_transports_with_other_characters_are_malformed(given: Given, change: dict[str, Any]) -> None:
    person = await given.logged_in()
    credential = person.authenticator.create((await given.post("/v1/me/passkeys/options", {}, person.auth))["public_key"])
    credential["response"] |= change
    problem(await given.client.post("/v1/me/passkeys", json={"credential": credential}, headers=person.auth), 422, "malformed")


async def test_a_credential_whose_id_was_not_attested_is_not_registered(given: Given) -> None:
    """The id differs from the attested one: the account would have a second factor that cannot be used."""
    person = await given.logged_in()
    credential = person.authenticator.create((await given.post("/v1/me/passkeys/options", {}, person.auth))["public_key"])
    credential |= {"id": b64(bytes(16)), "rawId": b64(bytes(16))}
    problem(await given.client.post("/v1/me/passkeys", json={"credential": credential}, headers=person.auth), 401, "passkey_refused")


async def test_sessions_opened_by_a_suspended_passkey_end(given: Given) -> None:
    """Sessions opened with a password stay."""
    person = await given.with_passkey()
    thief = Person(person.id, person.email, authenticator=person.authenticator)
    await given.by_passkey(thief)
    person.authenticator.passkeys[0].count = 0
    assertion = person.authenticator.get(await login_options(given))
    problem(await given.client.post(LOGIN, json={"credential": assertion}), 401, "passkey_refused")
    problem(await given.client.get("/v1/me", headers=thief.auth), 401, "token_invalid")
    assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200


async def test_two_users_may_use_the_same_idempotency_key(given: Given) -> None:
    for person in (await given.with_passkey(), await given.with_passkey()):
        assertion = person.authenticator.get(await login_options(given))
        given.expect(await given.client.post(LOGIN, json={"credential": assertion}, headers={"Idempotency-Key": "1"}))
