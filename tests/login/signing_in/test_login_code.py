"""Login by mailed code: started by an operator, completed with a new password (authentication R49, R56, R79)."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.events.models import Event
from app.world import World
from tests.assertions import problem
from tests.given import PASSWORD, Given
from tests.login.account.mailbox import NEW, can_log_in, send, visible_parts
from tests.login.signing_in.login_codes import CHANGE, login_handle, request_code, use_code
from tests.postbox import Postbox
from tests.secrets.stored import read_all_tables


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    return replace(world, settings=postbox.settings(world.settings))


async def test_r79_an_operator_mails_the_code_and_the_user_chooses_a_password(given: Given, postbox: Postbox) -> None:
    person = await given.logged_in(locale="nb")
    response = await use_code(given, person.email, (await request_code(given, postbox, person)).lower().replace("-", " "))
    body = response.json()
    assert (body["done"], body["next"]) == (["login_code"], CHANGE)
    opened = given.expect(await send(given, "/v1/login/password", {"new": NEW}, login_handle(response)))
    assert (opened["status"], opened["session"]["acr"], opened["session"]["amr"]) == ("complete", "aal1", ["pwd"])
    assert await can_log_in(given, person.email, NEW)
    assert not await can_log_in(given, person.email)
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    assert (await postbox.letter(given.world)).message["Subject"] == "Passordet ditt hos Licentia er endret"


async def test_r28_r67_the_second_factor_is_required_before_the_new_password(given: Given, postbox: Postbox) -> None:
    person = await given.with_totp()
    response = await use_code(given, person.email, await request_code(given, postbox, person))
    login = login_handle(response)
    assert response.json()["next"][0]["need"] == "second_factor"
    problem(await send(given, "/v1/login/password", {"new": NEW}, login), 409, "login_step_not_due")
    details = given.expect(await send(given, "/v1/login/totp", {"code": given.totp(person)}, login))
    assert (details["status"], details["done"], details["next"]) == ("incomplete", ["login_code", "second_factor"], CHANGE)
    opened = given.expect(await send(given, "/v1/login/password", {"new": NEW}, login))
    assert (opened["session"]["acr"], opened["session"]["amr"]) == ("aal2", ["pwd", "otp", "mfa"])


async def test_r78_no_factor_is_set_up_before_the_new_password(given: Given, postbox: Postbox, app: FastAPI) -> None:
    """If a second factor is required and missing: first the password, then the authenticator, then the session."""
    given.configured(app, mfa="required")
    person = await given.person()
    login = login_handle(await use_code(given, person.email, await request_code(given, postbox, person)))
    problem(await send(given, "/v1/login/totp/enroll", {}, login), 409, "login_step_not_due")
    body = given.expect(await send(given, "/v1/login/password", {"new": NEW}, login))
    assert (body["status"], body["next"][0]["any_of"][0]["action"]) == ("incomplete", "enroll_totp")
    created = given.expect(await send(given, "/v1/login/totp/enroll", {}, login))
    person.secret = created["secret"]
    body = given.expect(await send(given, "/v1/login/totp/confirm", {"code": given.totp(person)}, login))
    assert (body["status"], body["session"]["acr"]) == ("complete", "aal2")


async def test_r56_a_code_is_valid_for_ten_minutes(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    code = await request_code(given, postbox, person)
    given.clock.forward(minutes=10)
    problem(await use_code(given, person.email, code), 401, "code_refused")
    code = await request_code(given, postbox, person)
    given.clock.forward(minutes=10, milliseconds=-1)
    assert (await use_code(given, person.email, code)).status_code == 202


async def test_r56_five_wrong_attempts_void_the_code(given: Given, postbox: Postbox, app: FastAPI) -> None:
    person = await given.person()
    code = await request_code(given, postbox, person)
    for _ in range(5):
        problem(await use_code(given, person.email, "0000-0000"), 401, "code_refused")
    given.clock.forward(minutes=2)  # after the wait of the name's counter
    problem(await use_code(given, person.email, code), 401, "code_refused")


async def test_r41_a_new_code_does_not_reset_the_attempts(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    for _ in range(5):
        problem(await use_code(given, person.email, "0000-0000"), 401, "code_refused")
    code = await request_code(given, postbox, person)
    problem(await use_code(given, person.email, code), 429, "too_many_attempts")
    assert await can_log_in(given, person.email)  # authentication R39, R44: the password has its own counter


async def test_a_code_works_once_and_a_newer_one_replaces_it(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    old, code = await request_code(given, postbox, person), await request_code(given, postbox, person)
    problem(await use_code(given, person.email, old), 401, "code_refused")
    assert (await use_code(given, person.email, code)).status_code == 202
    problem(await use_code(given, person.email, code), 401, "code_refused")


@pytest.mark.parametrize("end", ["suspend", "password", "sessions", "reset-factors"])
async def test_r59_events_that_end_sessions_also_void_the_code(given: Given, postbox: Postbox, end: str) -> None:
    person = await given.logged_in()
    code = await request_code(given, postbox, person)
    if end == "suspend":
        await given.post(f"/v1/users/{person.id}/suspend")
        problem(await use_code(given, person.email, code), 401, "code_refused")
        await given.post(f"/v1/users/{person.id}/restore")
    elif end == "password":
        given.expect(await send(given, "/v1/me/password", {"current": PASSWORD, "new": NEW}, person.auth))
    elif end == "sessions":
        given.expect(await given.client.delete("/v1/me/sessions", headers=person.auth))
    else:
        await given.post(f"/v1/users/{person.id}/reset-factors")
    problem(await use_code(given, person.email, code), 401, "code_refused")


async def test_a_suspension_ends_a_login_by_code_and_its_handle_is_no_access_token(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    login = login_handle(await use_code(given, person.email, await request_code(given, postbox, person)))
    bearer = {"Authorization": login["Authorization"].replace("Login", "Bearer")}
    problem(await given.client.get("/v1/me", headers=bearer), 401, "token_invalid")
    await given.post(f"/v1/users/{person.id}/suspend")
    problem(await send(given, "/v1/login/password", {"new": NEW}, login), 401, "login_over")


async def test_r49_all_refusals_are_the_same_response(given: Given, postbox: Postbox) -> None:
    """Unknown, without a code, wrong code, suspended with the right code: same status, headers and body."""
    with_code, without, closed = await given.person(), await given.person(), await given.person()
    await request_code(given, postbox, with_code)
    code = await request_code(given, postbox, closed)
    await given.post(f"/v1/users/{closed.id}/suspend")
    tries = [(with_code.email, "0000-0000"), (without.email, "0000-0000"), (closed.email, code), ("nobody@example.com", code)]
    answers = [await use_code(given, email, code_sent) for email, code_sent in tries]
    assert len({visible_parts(answer) for answer in answers}) == 1
    problem(answers[0], 401, "code_refused")


@pytest.mark.parametrize(("more", "because"), [({"email_verified": False}, "unverified"), ({}, "suspended")])
async def test_an_operator_gets_the_reason_why_no_code_can_be_mailed(
    given: Given, postbox: Postbox, more: dict[str, Any], because: str
) -> None:
    person = await given.person(**more)
    if because == "suspended":
        await given.post(f"/v1/users/{person.id}/suspend")
    answer = await given.client.post(f"/v1/users/{person.id}/login-code", headers=given.root)
    assert problem(answer, 409, "login_code_impossible")["because"] == because
    assert await postbox.collected(given.world) == []


async def test_without_mail_there_is_no_code(given: Given, app: FastAPI) -> None:
    person = await given.person()
    given.configured(app, smtp_url=None, env="production")
    answer = await given.client.post(f"/v1/users/{person.id}/login-code", headers=given.root)
    assert problem(answer, 409, "login_code_impossible")["because"] == "mail_not_configured"


async def test_mailing_a_code_requires_the_scope_users_write(given: Given) -> None:
    person = await given.logged_in()
    path = f"/v1/users/{person.id}/login-code"
    problem(await given.client.post(path, headers=await given.operator("users:read")), 403, "scope_missing")
    problem(await given.client.post(path, headers=person.auth), 403, "operator_key_required")
    problem(await given.client.post(f"/v1/users/{given.world.entropy.identifier()}/login-code", headers=given.root), 404, "user_not_found")


async def test_r54_r70_the_code_is_not_stored_or_logged(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    code = await request_code(given, postbox, person)
    stored = str(await read_all_tables(given)).upper()
    assert code not in stored
    assert code.replace("-", "") not in stored
    await use_code(given, person.email, code)
    async with given.world.db.query() as tx:
        types = set((await tx.scalars(select(Event.type))).all())
    assert {"login_code.mailed", "login_code.used"} <= types


async def test_r43_only_one_of_thirty_concurrent_uses_of_a_code_succeeds(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    code = await request_code(given, postbox, person)
    answers = await asyncio.gather(*(use_code(given, person.email, code) for _ in range(30)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[202] == 1
    assert set(statuses) <= {202, 401, 429}


async def test_r43_at_most_five_wrong_codes_of_a_burst_are_checked(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    await request_code(given, postbox, person)
    answers = await asyncio.gather(*(use_code(given, person.email, "0000-0000") for _ in range(30)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {401: 5, 429: 25}


async def test_only_one_of_four_concurrent_new_passwords_is_accepted(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    login = login_handle(await use_code(given, person.email, await request_code(given, postbox, person)))
    answers = await asyncio.gather(*(send(given, "/v1/login/password", {"new": f"{NEW} {n}"}, login) for n in range(4)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] == 1
    assert set(statuses) <= {200, 401, 503}


async def test_the_response_is_replayed_for_the_same_idempotency_key(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    body = {"identifier": person.email, "code": await request_code(given, postbox, person)}
    first, again = [await send(given, "/v1/login/code", body, {"Idempotency-Key": "one"}) for _ in range(2)]
    assert (again.status_code, again.text, again.headers["idempotency-replayed"]) == (202, first.text, "true")


async def test_r40_a_new_password_by_code_unlocks_the_password(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    for _ in range(5):
        await send(given, "/v1/login", {"identifier": person.email, "password": "wrong, quite wrong"})
    problem(await send(given, "/v1/login", {"identifier": person.email, "password": PASSWORD}), 429, "too_many_attempts")
    login = login_handle(await use_code(given, person.email, await request_code(given, postbox, person)))
    given.expect(await send(given, "/v1/login/password", {"new": NEW}, login))
    assert await can_log_in(given, person.email, NEW)
