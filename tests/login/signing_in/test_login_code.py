"""A login by a mailed code: the operator starts it, the mailbox proves it, a new password ends it (authentication R49, R56, R79)."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.events.models import Event
from app.world import World
from tests.assertions import problem
from tests.given import PASSWORD, Given, Person
from tests.login.account.test_mailbox import NEW, can_log_in, send, visible_parts
from tests.postbox import Postbox
from tests.secrets.test_rest import everything

CHANGE = [{"need": "new_password", "any_of": [{"action": "change_password", "href": "/v1/login/password"}]}]


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    return replace(world, settings=postbox.settings(world.settings))


async def mailed(given: Given, postbox: Postbox, person: Person) -> str:
    """The code that the operator has mailed."""
    answer = await given.client.post(f"/v1/users/{person.id}/login-code", headers=given.root)
    assert answer.status_code == 202, answer.text
    letter = await postbox.letter(given.world)
    assert letter.to == [person.email]
    code = next(line for line in letter.part("plain").splitlines() if len(line) == 9 and line[4] == "-")
    assert code not in answer.text
    return code


async def use(given: Given, identifier: str, code: str, **more: Any) -> httpx.Response:
    return await send(given, "/v1/login/code", {"identifier": identifier, "code": code, **more})


def handle(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 202, answer.text
    return {"Authorization": f"Login {answer.json()['login']['token']}"}


async def test_r79_the_operator_starts_it_and_the_user_chooses_the_password(given: Given, postbox: Postbox) -> None:
    person = await given.logged_in(locale="nb")
    begun = await use(given, person.email, (await mailed(given, postbox, person)).lower().replace("-", " "))
    told = begun.json()
    assert (told["done"], told["next"]) == (["login_code"], CHANGE)
    opened = given.expect(await send(given, "/v1/login/password", {"new": NEW}, handle(begun)))
    assert (opened["status"], opened["session"]["acr"], opened["session"]["amr"]) == ("complete", "aal1", ["pwd"])
    assert await can_log_in(given, person.email, NEW)
    assert not await can_log_in(given, person.email)
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    assert (await postbox.letter(given.world)).message["Subject"] == "Passordet ditt hos Licentia er endret"


async def test_r28_r67_the_second_factor_is_wanted_before_the_new_password(given: Given, postbox: Postbox) -> None:
    person = await given.with_totp()
    begun = await use(given, person.email, await mailed(given, postbox, person))
    login = handle(begun)
    assert begun.json()["next"][0]["need"] == "second_factor"
    problem(await send(given, "/v1/login/password", {"new": NEW}, login), 409, "login_step_not_due")
    shown = given.expect(await send(given, "/v1/login/totp", {"code": given.totp(person)}, login))
    assert (shown["status"], shown["done"], shown["next"]) == ("incomplete", ["login_code", "second_factor"], CHANGE)
    opened = given.expect(await send(given, "/v1/login/password", {"new": NEW}, login))
    assert (opened["session"]["acr"], opened["session"]["amr"]) == ("aal2", ["pwd", "otp", "mfa"])


async def test_r78_no_factor_is_set_up_before_the_new_password(given: Given, postbox: Postbox, app: FastAPI) -> None:
    """Where a second factor is required and there is none: first the password, then the authenticator, then the session."""
    given.configured(app, mfa="required")
    person = await given.person()
    login = handle(await use(given, person.email, await mailed(given, postbox, person)))
    problem(await send(given, "/v1/login/totp/enroll", {}, login), 409, "login_step_not_due")
    told = given.expect(await send(given, "/v1/login/password", {"new": NEW}, login))
    assert (told["status"], told["next"][0]["any_of"][0]["action"]) == ("incomplete", "enroll_totp")
    made = given.expect(await send(given, "/v1/login/totp/enroll", {}, login))
    person.secret = made["secret"]
    told = given.expect(await send(given, "/v1/login/totp/confirm", {"code": given.totp(person)}, login))
    assert (told["status"], told["session"]["acr"]) == ("complete", "aal2")


async def test_r56_a_code_is_good_for_ten_minutes(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    code = await mailed(given, postbox, person)
    given.clock.forward(minutes=10)
    problem(await use(given, person.email, code), 401, "code_refused")
    code = await mailed(given, postbox, person)
    given.clock.forward(minutes=10, milliseconds=-1)
    assert (await use(given, person.email, code)).status_code == 202


async def test_r56_a_code_dies_of_five_wrong_tries(given: Given, postbox: Postbox, app: FastAPI) -> None:
    person = await given.person()
    code = await mailed(given, postbox, person)
    for _ in range(5):
        problem(await use(given, person.email, "0000-0000"), 401, "code_refused")
    given.clock.forward(minutes=2)  # past the wait of the name's own counter
    problem(await use(given, person.email, code), 401, "code_refused")


async def test_r41_a_new_code_gives_no_new_tries(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    for _ in range(5):
        problem(await use(given, person.email, "0000-0000"), 401, "code_refused")
    code = await mailed(given, postbox, person)
    problem(await use(given, person.email, code), 429, "too_many_attempts")
    assert await can_log_in(given, person.email)  # authentication R39, R44: the password has its own counter


async def test_a_code_works_once_and_a_newer_one_takes_its_place(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    old, code = await mailed(given, postbox, person), await mailed(given, postbox, person)
    problem(await use(given, person.email, old), 401, "code_refused")
    assert (await use(given, person.email, code)).status_code == 202
    problem(await use(given, person.email, code), 401, "code_refused")


@pytest.mark.parametrize("end", ["suspend", "password", "sessions", "reset-factors"])
async def test_r59_a_code_dies_with_whatever_ends_sessions(given: Given, postbox: Postbox, end: str) -> None:
    person = await given.logged_in()
    code = await mailed(given, postbox, person)
    if end == "suspend":
        await given.post(f"/v1/users/{person.id}/suspend")
        problem(await use(given, person.email, code), 401, "code_refused")
        await given.post(f"/v1/users/{person.id}/restore")
    elif end == "password":
        given.expect(await send(given, "/v1/me/password", {"current": PASSWORD, "new": NEW}, person.auth))
    elif end == "sessions":
        given.expect(await given.client.delete("/v1/me/sessions", headers=person.auth))
    else:
        await given.post(f"/v1/users/{person.id}/reset-factors")
    problem(await use(given, person.email, code), 401, "code_refused")


async def test_a_login_that_it_began_dies_too_and_opens_nothing(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    login = handle(await use(given, person.email, await mailed(given, postbox, person)))
    bearer = {"Authorization": login["Authorization"].replace("Login", "Bearer")}
    problem(await given.client.get("/v1/me", headers=bearer), 401, "token_invalid")
    await given.post(f"/v1/users/{person.id}/suspend")
    problem(await send(given, "/v1/login/password", {"new": NEW}, login), 401, "login_over")


async def test_r49_everybody_gets_the_same_answer(given: Given, postbox: Postbox) -> None:
    """Unknown, without a code, wrong, suspended with the right code: same status, headers and body."""
    with_code, without, closed = await given.person(), await given.person(), await given.person()
    await mailed(given, postbox, with_code)
    code = await mailed(given, postbox, closed)
    await given.post(f"/v1/users/{closed.id}/suspend")
    tries = [(with_code.email, "0000-0000"), (without.email, "0000-0000"), (closed.email, code), ("nobody@example.com", code)]
    answers = [await use(given, email, told) for email, told in tries]
    assert len({visible_parts(answer) for answer in answers}) == 1
    problem(answers[0], 401, "code_refused")


@pytest.mark.parametrize(("more", "because"), [({"email_verified": False}, "unverified"), ({}, "suspended")])
async def test_an_operator_is_told_why_no_code_goes_out(given: Given, postbox: Postbox, more: dict[str, Any], because: str) -> None:
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


async def test_only_who_may_write_users_starts_it(given: Given) -> None:
    person = await given.logged_in()
    path = f"/v1/users/{person.id}/login-code"
    problem(await given.client.post(path, headers=await given.operator("users:read")), 403, "scope_missing")
    problem(await given.client.post(path, headers=person.auth), 403, "operator_key_required")
    problem(await given.client.post(f"/v1/users/{given.world.entropy.identifier()}/login-code", headers=given.root), 404, "user_not_found")


async def test_r54_r70_the_code_is_stored_and_told_nowhere(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    code = await mailed(given, postbox, person)
    stored = str(await everything(given)).upper()
    assert code not in stored
    assert code.replace("-", "") not in stored
    await use(given, person.email, code)
    async with given.world.db.query() as tx:
        types = set((await tx.scalars(select(Event.type))).all())
    assert {"login_code.mailed", "login_code.used"} <= types


async def test_r43_thirty_uses_of_one_code(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    code = await mailed(given, postbox, person)
    answers = await asyncio.gather(*(use(given, person.email, code) for _ in range(30)))
    told = Counter(answer.status_code for answer in answers)
    assert told[202] == 1
    assert set(told) <= {202, 401, 429}


async def test_r43_a_burst_of_wrong_codes_is_evaluated_five_times_at_most(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    await mailed(given, postbox, person)
    answers = await asyncio.gather(*(use(given, person.email, "0000-0000") for _ in range(30)))
    told = Counter(answer.status_code for answer in answers)
    assert told == {401: 5, 429: 25}


async def test_two_new_passwords_by_one_login(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    login = handle(await use(given, person.email, await mailed(given, postbox, person)))
    answers = await asyncio.gather(*(send(given, "/v1/login/password", {"new": f"{NEW} {n}"}, login) for n in range(4)))
    told = Counter(answer.status_code for answer in answers)
    assert told[200] == 1
    assert set(told) <= {200, 401, 503}


async def test_the_same_answer_comes_again_by_its_key(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    body = {"identifier": person.email, "code": await mailed(given, postbox, person)}
    first, again = [await send(given, "/v1/login/code", body, {"Idempotency-Key": "one"}) for _ in range(2)]
    assert (again.status_code, again.text, again.headers["idempotency-replayed"]) == (202, first.text, "true")


async def test_r40_a_new_password_by_code_opens_a_locked_password(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    for _ in range(5):
        await send(given, "/v1/login", {"identifier": person.email, "password": "wrong, quite wrong"})
    problem(await send(given, "/v1/login", {"identifier": person.email, "password": PASSWORD}), 429, "too_many_attempts")
    login = handle(await use(given, person.email, await mailed(given, postbox, person)))
    given.expect(await send(given, "/v1/login/password", {"new": NEW}, login))
    assert await can_log_in(given, person.email, NEW)
