"""Sessions: what a token says, and that the row is asked all the same."""

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


async def test_a_token_dies_on_time(given: Given) -> None:
    person = await given.logged_in()
    given.clock.forward(minutes=9, seconds=59)
    assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200
    given.clock.forward(seconds=1)
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")


async def test_r60_logging_out_ends_the_session_at_once(given: Given) -> None:
    person = await given.logged_in()
    for _ in range(2):
        assert (await given.client.post("/v1/logout", headers=person.auth)).status_code == 204
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")


async def test_r60_a_suspended_user_is_out_at_once(given: Given) -> None:
    person = await given.logged_in()
    await given.post(f"/v1/users/{person.id}/suspend")
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    await given.post(f"/v1/users/{person.id}/restore")
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")  # authentication R59: what was open stays shut


@pytest.mark.parametrize(
    "change",
    [{"iss": "https://elsewhere.example"}, {"aud": "studio"}, {"exp": 1}, {"sub": "x"}, {"sid": None}, {"sub": 7}, {"exp": "soon"}],
)
async def test_r62_every_claim_is_checked(given: Given, change: dict[str, object]) -> None:
    person = await given.logged_in()
    sign = await load_signer(given.world)
    claims = sign.read("at+jwt", str(person.token))
    forged = sign.sign("at+jwt", {name: value for name, value in {**claims, **change}.items() if value is not None})
    problem(await given.client.get("/v1/me", headers={"Authorization": f"Bearer {forged}"}), 401, "token_invalid")


async def test_a_grant_is_no_access_token(given: Given) -> None:
    person = await given.logged_in()
    product = await given.product(requires=["login"])
    grant = (await given.access(product["code"], person))["grant"]
    problem(await given.client.get("/v1/me", headers={"Authorization": f"Bearer {grant}"}), 401, "token_invalid")


async def test_me_tells_how_sure_the_session_is_by_now(given: Given) -> None:
    person = await given.strong()
    told = given.expect(await given.client.get("/v1/me", headers=person.auth))
    assert (told["user"]["email"], told["session"]["acr"]) == (person.email, "aal2")


async def test_a_step_up_raises_the_same_session(given: Given) -> None:
    person = await given.with_totp()
    begun = await given.client.post("/v1/step-up", json={"acr": "aal2", "max_age": 300}, headers=person.auth)
    assert begun.status_code == 202
    assert begun.json()["done"] == ["session"]
    before = given.expect(await given.client.get("/v1/me", headers=person.auth))["session"]
    handle = {"Authorization": f"Login {begun.json()['login']['token']}"}
    raised = given.expect(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle))
    assert (before["acr"], raised["session"]["acr"], raised["session"]["id"]) == ("aal1", "aal2", before["id"])


async def test_a_step_up_cannot_outrun_a_log_out(given: Given) -> None:
    person = await given.with_totp()
    begun = await given.post("/v1/step-up", {}, person.auth)
    await given.client.post("/v1/logout", headers=person.auth)
    handle = {"Authorization": f"Login {begun['login']['token']}"}
    problem(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle), 401, "login_over")


async def test_a_step_up_wants_a_second_factor_to_step_up_with(given: Given) -> None:
    person = await given.logged_in()
    problem(await given.client.post("/v1/step-up", headers=person.auth), 409, "second_factor_missing")
