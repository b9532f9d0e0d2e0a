"""Sessions: the content of access tokens, and that the database row is checked as well."""

import jwt
import pytest

from app.signing_keys.service import load_signer
from tests.assertions import problem
from tests.given import Given


async def test_r62_the_access_token_is_typed_and_complete(given: Given) -> None:
    person = await given.logged_in()
    key_set = jwt.PyJWKSet.from_dict((await given.client.get("/.well-known/jwks.json")).json())
    token = str(person.token)
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(
        token, key_set[header["kid"]], algorithms=["EdDSA"], audience="licentia", options={"verify_exp": False, "verify_iat": False}
    )
    assert header["typ"] == "at+jwt"
    assert (claims["iss"], claims["sub"], claims["exp"] - claims["iat"]) == ("http://127.0.0.1:8000", person.id, 600)
    assert {"jti", "sid", "auth_time", "acr", "amr", "client_id"} <= set(claims)


async def test_an_access_token_expires(given: Given) -> None:
    person = await given.logged_in()
    given.clock.forward(minutes=9, seconds=59)
    assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200
    given.clock.forward(seconds=1)
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")


async def test_r60_logging_out_ends_the_session_immediately(given: Given) -> None:
    person = await given.logged_in()
    for _ in range(2):
        assert (await given.client.post("/v1/logout", headers=person.auth)).status_code == 204
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")


async def test_r60_suspending_a_user_ends_the_session_immediately(given: Given) -> None:
    person = await given.logged_in()
    await given.post(f"/v1/users/{person.id}/suspend")
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    await given.post(f"/v1/users/{person.id}/restore")
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")  # authentication R59: old sessions stay invalid


@pytest.mark.parametrize(
    "change",
    [{"iss": "https://elsewhere.example"}, {"aud": "studio"}, {"exp": 1}, {"sub": "x"}, {"sid": None}, {"sub": 7}, {"exp": "soon"}],
)
async def test_r62_every_claim_is_checked(given: Given, change: dict[str, object]) -> None:
    person = await given.logged_in()
    signer = await load_signer(given.world)
    claims = signer.read("at+jwt", str(person.token))
    forged = signer.sign("at+jwt", {name: value for name, value in {**claims, **change}.items() if value is not None})
    problem(await given.client.get("/v1/me", headers={"Authorization": f"Bearer {forged}"}), 401, "token_invalid")


async def test_an_access_grant_is_refused_as_access_token(given: Given) -> None:
    person = await given.logged_in()
    product = await given.product(requires=["login"])
    grant = (await given.access(product["code"], person))["grant"]
    problem(await given.client.get("/v1/me", headers={"Authorization": f"Bearer {grant}"}), 401, "token_invalid")


async def test_me_returns_the_assurance_level(given: Given) -> None:
    person = await given.strong()
    body = given.expect(await given.client.get("/v1/me", headers=person.auth))
    assert (body["user"]["email"], body["session"]["acr"]) == (person.email, "aal2")


async def test_a_step_up_keeps_the_session(given: Given) -> None:
    person = await given.with_totp()
    login = await given.client.post("/v1/step-up", json={"acr": "aal2", "max_age": 300}, headers=person.auth)
    assert login.status_code == 202
    assert login.json()["done"] == ["session"]
    before = given.expect(await given.client.get("/v1/me", headers=person.auth))["session"]
    handle = {"Authorization": f"Login {login.json()['login']['token']}"}
    raised = given.expect(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle))
    assert (before["acr"], raised["session"]["acr"], raised["session"]["id"]) == ("aal1", "aal2", before["id"])


async def test_a_step_up_after_logout_is_refused(given: Given) -> None:
    person = await given.with_totp()
    login = await given.post("/v1/step-up", {}, person.auth)
    await given.client.post("/v1/logout", headers=person.auth)
    handle = {"Authorization": f"Login {login['login']['token']}"}
    problem(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle), 401, "login_over")


async def test_a_step_up_requires_a_second_factor(given: Given) -> None:
    person = await given.logged_in()
    problem(await given.client.post("/v1/step-up", headers=person.auth), 409, "second_factor_missing")
