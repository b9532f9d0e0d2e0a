"""Short codes and passkeys: an application without a browser is let in by a session that has shown one (authentication R44, R66)."""

from fastapi import FastAPI

from tests.assertions import problem
from tests.given import Given, Person


async def test_where_a_passkey_is_wanted_the_session_that_approves_has_shown_one(given: Given, app: FastAPI) -> None:
    """And what it lets in has shown it as long ago: the way for an application that has no browser."""
    given.taking_passkeys(app)
    product = await given.product(requires=["passkey"])
    person = await given.with_passkey(await given.strong())
    begun = await given.post("/v1/device/code", {"product": product["code"]}, {})
    path = f"/v1/device?user_code={begun['user_code']}"
    opened = given.expect(await given.client.get(path, headers=person.auth))
    assert opened["wants"] == "aal2p"
    body = {"user_code": begun["user_code"]}
    told = problem(await given.client.post("/v1/device/approve", json=body, headers=person.auth), 401, "step_up_required")
    assert told["acr_values"] == "aal2p"
    up = {"Authorization": f"Login {(await given.post('/v1/step-up', {'acr': 'aal2p'}, person.auth))['login']['token']}"}
    asked = await given.post("/v1/login/passkey/options", {}, up)
    shown = {"credential": person.authenticator.get(asked["public_key"])}
    person.token = (await given.post("/v1/login/passkey", shown, up))["access_token"]
    given.expect(await given.client.post("/v1/device/approve", json=body, headers=person.auth))
    let_in = Person(person.id, person.email)
    let_in.token = (await given.post("/v1/device/token", {"device_code": begun["device_code"]}, {}))["access_token"]
    assert (await given.access(product["code"], let_in))["allow"]


async def test_a_session_by_a_passkey_alone_may_approve(given: Given, app: FastAPI) -> None:
    """Also while guesses have locked the authenticator app: it was not what vouched (authentication R44)."""
    given.taking_passkeys(app)
    person = await given.with_passkey(await given.strong())
    await given.by_passkey(person)
    begun = await given.post("/v1/device/code", {}, {})
    given.expect(await given.client.get(f"/v1/device?user_code={begun['user_code']}", headers=person.auth))
    given.expect(await given.client.post("/v1/device/approve", json={"user_code": begun["user_code"]}, headers=person.auth))
    told = await given.post("/v1/device/token", {"device_code": begun["device_code"]}, {})
    assert told["session"]["amr"] == ["hwk", "user", "mfa"]
