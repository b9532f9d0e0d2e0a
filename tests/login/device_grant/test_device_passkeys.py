"""Device grant and passkeys: approving with a session that has used a passkey (authentication R44, R66)."""

from fastapi import FastAPI

from tests.assertions import problem
from tests.given import Given, Person


async def test_a_product_that_requires_a_passkey_needs_one_to_approve(given: Given, app: FastAPI) -> None:
    """The new session inherits the proof, so applications without a browser can use such products."""
    given.taking_passkeys(app)
    product = await given.product(requires=["passkey"])
    person = await given.with_passkey(await given.strong())
    authorization = await given.post("/v1/device/code", {"product": product["code"]}, {})
    path = f"/v1/device?user_code={authorization['user_code']}"
    request = given.expect(await given.client.get(path, headers=person.auth))
    assert request["wants"] == "aal2p"
    body = {"user_code": authorization["user_code"]}
    refusal = problem(await given.client.post("/v1/device/approve", json=body, headers=person.auth), 401, "step_up_required")
    assert refusal["acr_values"] == "aal2p"
    step_up = {"Authorization": f"Login {(await given.post('/v1/step-up', {'acr': 'aal2p'}, person.auth))['login']['token']}"}
    options = await given.post("/v1/login/passkey/options", {}, step_up)
    assertion = {"credential": person.authenticator.get(options["public_key"])}
    person.token = (await given.post("/v1/login/passkey", assertion, step_up))["access_token"]
    given.expect(await given.client.post("/v1/device/approve", json=body, headers=person.auth))
    device = Person(person.id, person.email)
    device.token = (await given.post("/v1/device/token", {"device_code": authorization["device_code"]}, {}))["access_token"]
    assert (await given.access(product["code"], device))["allow"]


async def test_a_session_by_a_passkey_alone_may_approve(given: Given, app: FastAPI) -> None:
    """It may also while guesses have locked the authenticator app, which was not used in the session (authentication R44)."""
    given.taking_passkeys(app)
    person = await given.with_passkey(await given.strong())
    await given.by_passkey(person)
    authorization = await given.post("/v1/device/code", {}, {})
    given.expect(await given.client.get(f"/v1/device?user_code={authorization['user_code']}", headers=person.auth))
    given.expect(await given.client.post("/v1/device/approve", json={"user_code": authorization["user_code"]}, headers=person.auth))
    tokens = await given.post("/v1/device/token", {"device_code": authorization["device_code"]}, {})
    assert tokens["session"]["amr"] == ["hwk", "user", "mfa"]
