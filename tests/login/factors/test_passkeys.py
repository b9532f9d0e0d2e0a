"""Tests of passkeys: registration, login by passkey alone, as a second factor, and for a step-up (rules/authentication 2d)."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from fastapi import FastAPI

from tests.assertions import problem
from tests.authenticator import ANDROID, BE, BS, UP, UV, Authenticator, unb64
from tests.given import PASSWORD, Given, Person
from tests.login.factors.steps import begin_step_up, list_factors, login_options

ALONE = ["hwk", "user", "mfa"]


pytestmark = pytest.mark.usefixtures("relying_party")


async def log_in_with_second_factor(given: Given, person: Person, handle: dict[str, str]) -> dict[str, Any]:
    """Continue a login with the person's passkey."""
    assertion = person.authenticator.get(await login_options(given, handle))
    return await given.post("/v1/login/passkey", {"credential": assertion}, handle)


async def test_registration_options_have_a_random_user_handle_and_require_verification(given: Given) -> None:
    """Authentication R33, R35: the handle is random and stable, the algorithms are ours, registered passkeys are excluded."""
    person = await given.logged_in()
    first, again = [(await given.post("/v1/me/passkeys/options", {}, person.auth))["public_key"] for _ in range(2)]
    assert first["rp"] == {"name": "Licentia", "id": "licentia.test"}
    assert first["user"]["id"] == again["user"]["id"]
    assert len(unb64(first["user"]["id"])) == 64
    assert (first["user"]["name"], first["excludeCredentials"]) == (person.email, [])
    assert [algorithm["alg"] for algorithm in first["pubKeyCredParams"]] == [-8, -7, -257]
    assert first["authenticatorSelection"]["userVerification"] == first["authenticatorSelection"]["residentKey"] == "required"
    assert first["challenge"] != again["challenge"]
    assert len(unb64(first["challenge"])) == 32
    await given.with_passkey(person)
    await given.by_passkey(person)
    after = (await given.post("/v1/me/passkeys/options", {}, person.auth))["public_key"]
    assert len(after["excludeCredentials"]) == 1


async def test_the_first_passkey_comes_with_recovery_codes_and_is_listed(given: Given) -> None:
    person = await given.with_passkey()
    assert len(person.recovery) == 10
    passkey, password = await list_factors(given, person)
    assert (passkey["kind"], passkey["state"], passkey["backed_up"], password["kind"]) == ("passkey", "active", False, "password")
    path = f"/v1/me/factors/{passkey['id']}"
    assert given.expect(await given.client.patch(path, json={"name": "Phone"}, headers=person.auth))["name"] == "Phone"


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("ed25519", [False, True])
async def test_a_login_by_passkey_alone_counts_as_two_factors(given: Given, *, ed25519: bool) -> None:
    """Authentication R31: user verification makes it `aal2`; the options are the same for every user (authentication R52)."""
    person = await given.person()
    person.authenticator = Authenticator(ed25519=ed25519)
    await given.with_passkey(await given.logged_in(person))
    options = await login_options(given, product=None)
    assert (options["allowCredentials"], options["userVerification"], options["rpId"]) == ([], "required", "licentia.test")
    result = await given.by_passkey(person)
    assert (result["status"], result["session"]["acr"], result["session"]["amr"]) == ("complete", "aal2", ALONE)
    me = given.expect(await given.client.get("/v1/me", headers=person.auth))
    assert (me["user"]["id"], me["session"]["acr"]) == (person.id, "aal2")


async def test_a_passkey_login_stores_product_and_device(given: Given) -> None:
    product = await given.product()
    person = await given.with_passkey()
    await given.by_passkey(person, product=product["code"], device={"fingerprint": "laptop", "name": "Laptop"})
    sessions = given.expect(await given.client.get("/v1/me/sessions", headers=person.auth))["data"]
    assert (sessions[0]["product"], sessions[0]["device"]["name"]) == (product["code"], "Laptop")
    problem(await given.client.post("/v1/login/passkey/options", json={"product": "nothing"}), 404, "product_not_found")


async def test_a_synced_passkey_is_reported_as_a_software_key(given: Given) -> None:
    person = await given.person()
    person.authenticator = Authenticator(flags=UP | UV | BE | BS, counts=False)
    await given.with_passkey(await given.logged_in(person))
    assert (await list_factors(given, person))[0]["backed_up"] is True
    for _ in range(2):  # 0 after 0: an authenticator without a counter (authentication R32)
        assert (await given.by_passkey(person))["session"]["amr"] == ["swk", "user", "mfa"]


async def test_after_a_password_a_passkey_is_the_second_factor(given: Given) -> None:
    person = await given.with_passkey()
    handle = await given.begin(person)
    state = given.expect(await given.client.get("/v1/login", headers=handle))
    offered = [(way["action"], way["href"]) for way in state["next"][0]["any_of"]]
    assert offered == [("verify_passkey", "/v1/login/passkey/options"), ("use_recovery_code", "/v1/login/recovery-code")]
    assert (await login_options(given, handle))["userVerification"] == "preferred"
    result = await log_in_with_second_factor(given, person, handle)
    assert (result["session"]["acr"], result["session"]["amr"]) == ("aal2", ["pwd", "hwk", "user", "mfa"])


async def test_without_user_verification_a_passkey_only_counts_as_possession(given: Given) -> None:
    """Authentication R31: accepted after a password, refused alone, and not enough for a product that requires a passkey."""
    product = await given.product(requires=["passkey"])
    person = await given.with_passkey()
    person.authenticator.flags = UP
    assertion = person.authenticator.get(await login_options(given))
    problem(await given.client.post("/v1/login/passkey", json={"credential": assertion}), 401, "user_verification_required")
    result = await log_in_with_second_factor(given, person, await given.begin(person))
    assert (result["session"]["acr"], result["session"]["amr"]) == ("aal2", ["pwd", "hwk", "mfa"])
    person.token = result["access_token"]
    answer = await given.access(product["code"], person)
    assert [(reason["code"], reason["action"], reason["acr"]) for reason in answer["reasons"]] == [("passkey_required", "step_up", "aal2p")]
    handle = await begin_step_up(given, person, "aal2p")
    options = await login_options(given, handle)
    assert options["userVerification"] == "required"
    wrong = await given.client.post("/v1/login/passkey", json={"credential": person.authenticator.get(options)}, headers=handle)
    problem(wrong, 401, "user_verification_required")


async def test_a_step_up_to_aal2p_accepts_only_a_passkey(given: Given) -> None:
    person = await given.with_passkey(await given.strong())
    handle = await begin_step_up(given, person, "aal2p")
    state = given.expect(await given.client.get("/v1/login", headers=handle))
    assert state["next"] == [{"need": "passkey", "any_of": [{"action": "verify_passkey", "href": "/v1/login/passkey/options"}]}]
    for path, code in (("totp", given.totp(person)), ("recovery-code", person.recovery[0])):
        problem(await given.client.post(f"/v1/login/{path}", json={"code": code}, headers=handle), 409, "login_step_not_due")
    result = await log_in_with_second_factor(given, person, handle)
    assert result["session"]["amr"] == ["pwd", "hwk", "user", "mfa"]
    assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200  # it was issued in the same second
    given.clock.forward(seconds=30)
    person.token = result["access_token"]
    again = await given.post("/v1/login/totp", {"code": given.totp(person)}, await begin_step_up(given, person))
    assert again["session"]["amr"] == ["pwd", "hwk", "user", "otp", "mfa"]


async def test_a_user_without_a_passkey_cannot_step_up_with_one(given: Given) -> None:
    for person in (await given.logged_in(), await given.strong()):
        answer = await given.client.post("/v1/step-up", json={"acr": "aal2p"}, headers=person.auth)
        problem(answer, 409, "passkey_missing")
    person = await given.with_totp()
    handle = await given.begin(person)
    problem(await given.client.post("/v1/login/passkey/options", headers=handle), 409, "passkey_missing")


async def test_r21_registering_requires_a_recent_proof(given: Given) -> None:
    person = await given.with_totp()
    problem(await given.client.post("/v1/me/passkeys/options", headers=person.auth), 401, "step_up_required")
    person = await given.strong(person)
    options = await given.post("/v1/me/passkeys/options", {}, person.auth)
    given.clock.forward(minutes=4, seconds=59)
    credential = await given.post("/v1/me/passkeys", {"credential": person.authenticator.create(options["public_key"])}, person.auth)
    assert (credential["kind"], credential["recovery_codes"]) == ("passkey", None)


async def test_r22_removing_a_passkey_requires_a_proof_and_ends_other_sessions(given: Given) -> None:
    person = await given.with_passkey()
    passkey = (await list_factors(given, person))[0]["id"]
    problem(await given.client.delete(f"/v1/me/factors/{passkey}", headers=person.auth), 401, "step_up_required")
    other = Person(person.id, person.email, authenticator=person.authenticator)
    await given.by_passkey(other)
    await given.by_passkey(person)
    assert (await given.client.delete(f"/v1/me/factors/{passkey}", headers=person.auth)).status_code == 204
    problem(await given.client.get("/v1/me", headers=other.auth), 401, "token_invalid")
    assertion = person.authenticator.get(await login_options(given))
    problem(await given.client.post("/v1/login/passkey", json={"credential": assertion}), 401, "passkey_refused")
    assert (await given.post("/v1/login", {"identifier": person.email, "password": PASSWORD}, {}))["session"]["acr"] == "aal1"
    again = await given.logged_in(person)
    options = (await given.post("/v1/me/passkeys/options", {}, again.auth))["public_key"]
    body = {"credential": again.authenticator.create(options, fresh=again.authenticator.passkeys[0].id)}
    assert len((await given.post("/v1/me/passkeys", body, again.auth))["recovery_codes"]) == 10  # the same device may come back


async def test_an_operator_resets_passkeys_too(given: Given) -> None:
    person = await given.with_passkey()
    given.expect(await given.client.post(f"/v1/users/{person.id}/reset-factors", headers=given.root))
    assertion = person.authenticator.get(await login_options(given))
    problem(await given.client.post("/v1/login/passkey", json={"credential": assertion}), 401, "passkey_refused")


async def test_a_login_that_requires_a_passkey_continues_by_registering_one(given: Given, app: FastAPI) -> None:
    product = await given.product(requires=["passkey"])
    person = await given.person()
    handle = await given.begin(person, product=product["code"])
    state = given.expect(await given.client.get("/v1/login", headers=handle))
    assert state["next"][0]["any_of"] == [{"action": "enroll_passkey", "href": "/v1/login/passkey/enroll"}]
    options = await given.post("/v1/login/passkey/enroll", {}, handle)
    result = await given.post("/v1/login/passkey/confirm", {"credential": person.authenticator.create(options["public_key"])}, handle)
    assert (result["session"]["amr"], len(result["recovery_codes"])) == (["pwd", "hwk", "user", "mfa"], 10)
    person.token = result["access_token"]
    assert (await given.access(product["code"], person))["allow"]
    given.configured(app, mfa="required")
    state = given.expect(await given.client.get("/v1/login", headers=await given.begin(await given.person())))
    assert [way["action"] for way in state["next"][0]["any_of"]] == ["enroll_totp", "enroll_passkey"]


async def test_r44_wrong_passwords_do_not_lock_the_passkey(given: Given) -> None:
    person = await given.with_passkey()
    body = {"identifier": person.email, "password": "wrong all the time"}
    codes = [(await given.client.post("/v1/login", json=body)).status_code for _ in range(8)]
    assert codes[-1] == 429
    assert (await given.by_passkey(person))["session"]["acr"] == "aal2"


async def test_a_native_application_has_its_own_origin(given: Given) -> None:
    person = await given.person()
    person.authenticator = Authenticator(origin=ANDROID)
    await given.with_passkey(await given.logged_in(person))
    assert (await given.by_passkey(person))["session"]["amr"] == ALONE


async def test_an_account_has_at_most_twenty_passkeys(given: Given) -> None:
    person = await given.logged_in()
    for _ in range(20):
        await given.with_passkey(person)
        if len(person.authenticator.passkeys) == 1:
            await given.by_passkey(person)
    options = await given.post("/v1/me/passkeys/options", {}, person.auth)
    body = {"credential": person.authenticator.create(options["public_key"])}
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 409, "too_many_passkeys")


async def test_concurrent_uses_of_one_assertion_open_one_session(given: Given) -> None:
    """Authentication R29, with five requests at once: as a login by passkey alone, and as a second factor."""
    person = await given.with_passkey()
    handle = await given.begin(person)
    for auth in ({}, handle):
        body = {"credential": person.authenticator.get(await login_options(given, auth))}
        answers = await asyncio.gather(*(given.client.post("/v1/login/passkey", json=body, headers=auth) for _ in range(5)))
        assert Counter(answer.status_code for answer in answers)[200] == 1
        assert {answer.json()["code"] for answer in answers if answer.status_code != 200} <= {"challenge_spent", "login_over"}


async def test_without_a_relying_party_passkeys_are_off(given: Given, app: FastAPI) -> None:
    person = await given.with_passkey()
    given.configured(app, webauthn_rp_id=None, webauthn_origins=[])
    for path, auth in (("/v1/me/passkeys/options", person.auth), ("/v1/login/passkey/options", {})):
        problem(await given.client.post(path, headers=auth), 404, "passkeys_off")
    state = given.expect(await given.client.get("/v1/login", headers=await given.begin(person)))
    assert [way["action"] for way in state["next"][0]["any_of"]] == ["use_recovery_code"]
