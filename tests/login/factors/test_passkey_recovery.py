"""Tests of passkeys with lost passwords and lost devices, and of the notices to their owner (authentication R21, R32, R67)."""

from dataclasses import replace

import pytest

from app.world import World
from tests.assertions import problem
from tests.given import PASSWORD, Given
from tests.login.account.mailbox import NEW, send
from tests.login.factors.steps import login_options
from tests.login.signing_in.login_codes import CHANGE, login_handle, request_code, use_code
from tests.postbox import Postbox


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    return replace(world, settings=postbox.settings(world.settings))


pytestmark = pytest.mark.usefixtures("relying_party")


async def test_a_login_code_requires_the_passkey_before_the_new_password(given: Given, postbox: Postbox) -> None:
    """The code proves the mailbox, the passkey proves the person; with a passkey the new password is still required."""
    person = await given.with_passkey()
    assert (await postbox.letter(given.world)).message["Subject"].startswith("Something new can be used to log in")
    login = login_handle(await use_code(given, person.email, await request_code(given, postbox, person)))
    problem(await send(given, "/v1/login/password", {"new": NEW}, login), 409, "login_step_not_due")
    assertion = person.authenticator.get(await login_options(given, login))
    result = await given.post("/v1/login/passkey", {"credential": assertion}, login)
    assert (result["status"], result["done"], result["next"]) == ("incomplete", ["login_code", "second_factor"], CHANGE)
    opened = given.expect(await send(given, "/v1/login/password", {"new": NEW}, login))
    assert (opened["session"]["acr"], opened["session"]["amr"]) == ("aal2", ["pwd", "hwk", "user", "mfa"])


async def test_a_password_reset_with_only_a_passkey_requires_a_recovery_code(given: Given, postbox: Postbox) -> None:
    person = await given.with_passkey()
    await postbox.letter(given.world)
    given.expect(await given.client.post("/v1/password/forgot", json={"identifier": person.email}))
    token = next(line for line in (await postbox.letter(given.world)).part("plain").splitlines() if line.startswith("rst_"))
    body = {"token": token, "new_password": NEW}
    problem(await given.client.post("/v1/password/reset", json=body), 401, "totp_required")
    given.expect(await given.client.post("/v1/password/reset", json={**body, "recovery_code": person.recovery[0]}))
    assert (await given.by_passkey(person))["session"]["acr"] == "aal2"  # a reset removes no factor


async def test_the_owner_is_notified_of_a_suspended_passkey(given: Given, postbox: Postbox) -> None:
    person = await given.with_passkey(await given.person(locale="nb"))
    await postbox.letter(given.world)
    await given.by_passkey(person)
    person.authenticator.passkeys[0].count = 0
    assertion = person.authenticator.get(await login_options(given))
    problem(await given.client.post("/v1/login/passkey", json={"credential": assertion}), 401, "passkey_refused")
    letter = await postbox.letter(given.world)
    assert letter.to == [person.email]
    assert letter.message["Subject"] == "En passnøkkel for kontoen din hos Licentia er satt ut av bruk"


async def test_erasing_a_user_erases_their_passkeys(given: Given) -> None:
    person = await given.with_passkey()
    options = await login_options(given)
    given.expect(await given.client.post(f"/v1/users/{person.id}/erase", headers=given.root))
    assertion = {"credential": person.authenticator.get(options)}
    problem(await given.client.post("/v1/login/passkey", json=assertion), 401, "passkey_refused")
    again = await given.logged_in(await given.person())
    options = (await given.post("/v1/me/passkeys/options", {}, again.auth))["public_key"]
    body = {"credential": again.authenticator.create(options, fresh=person.authenticator.passkeys[0].id)}
    assert (await given.post("/v1/me/passkeys", body, again.auth))["kind"] == "passkey"  # the erased passkey left no trace
    assert again.password == PASSWORD
