"""A mailed proof ends with what it rests on: the session that asked, the epoch of the account (authentication R58, R59, R28)."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.login.account import mailbox
from app.login.mailed_tokens import OneTimeToken
from app.login.sessions import service as sessions
from app.web.callers import EndUser, Origin
from app.web.problems import TokenInvalid
from app.world import World
from tests.assertions import problem
from tests.given import PASSWORD, Given, Person
from tests.login.account.test_mailbox import NEW, ask, can_log_in, registered
from tests.postbox import Postbox


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    return replace(world, settings=postbox.settings(world.settings, registration="open"))


async def session_of(given: Given, person: Person) -> str:
    return str(given.expect(await given.client.get("/v1/me", headers=person.auth))["session"]["id"])


async def moving(given: Given, postbox: Postbox, person: Person) -> str:
    """The token that is mailed to the new address."""
    assert (await ask(given, "/v1/me/email", {"email": "moved@example.com"}, person.auth)).status_code == 202
    return next(came.token for came in await postbox.collected(given.world) if came.to == ["moved@example.com"])


@pytest.mark.parametrize("by", ["owner", "logout", "limit"])
async def test_r59_an_address_moves_no_more_once_the_session_that_asked_is_over(
    given: Given, postbox: Postbox, app: FastAPI, by: str
) -> None:
    thief = await given.logged_in()
    owner = await given.logged_in(Person(thief.id, thief.email))
    token = await moving(given, postbox, thief)
    if by == "owner":
        await given.client.delete(f"/v1/me/sessions/{await session_of(given, thief)}", headers=owner.auth)
    elif by == "logout":
        assert (await ask(given, "/v1/logout", {}, thief.auth)).status_code == 204
    else:
        given.configured(app, sessions_per_user=2)
        await given.logged_in(Person(thief.id, thief.email))
    problem(await ask(given, "/v1/email/verify", {"token": token}), 410, "one_time_token_spent")
    assert (await given.client.get("/v1/me", headers=owner.auth)).status_code == 200
    assert await can_log_in(given, thief.email)


async def test_r59_what_a_session_asked_for_is_spent_with_it(given: Given, postbox: Postbox) -> None:
    """And nothing else of the account."""
    person = await given.logged_in()
    await ask(given, "/v1/password/forgot", {"identifier": person.email})
    await moving(given, postbox, person)
    await ask(given, "/v1/logout", {}, person.auth)
    async with given.world.db.query() as tx:
        left = await tx.scalars(select(OneTimeToken.purpose).where(OneTimeToken.used_at.is_(None)))
    assert left.all() == ["reset_password"]


@pytest.mark.parametrize("asked", ["reset", "verify", "move"])
async def test_r59_a_suspension_ends_what_was_mailed_before_it(given: Given, postbox: Postbox, asked: str) -> None:
    """Also when the account is restored before the letter is opened."""
    person = await given.person(email_verified=False) if asked == "verify" else await given.logged_in()
    if asked == "move":
        token = await moving(given, postbox, person)
    else:
        path = "/v1/password/forgot" if asked == "reset" else "/v1/email/verify/resend"
        await ask(given, path, {"identifier": person.email})
        token = (await postbox.letter(given.world)).token
    for act in ("suspend", "restore"):
        await given.post(f"/v1/users/{person.id}/{act}")
    if asked == "reset":
        problem(await ask(given, "/v1/password/reset", {"token": token, "new_password": NEW}), 410, "one_time_token_spent")
    else:
        problem(await ask(given, "/v1/email/verify", {"token": token}), 410, "one_time_token_spent")
    assert await can_log_in(given, person.email) is (asked != "verify")


async def test_r28_a_recovery_code_moves_no_address(given: Given) -> None:
    """Nor does it by removing the authenticator first."""
    person = await given.with_totp()
    handle = await given.begin(person)
    told = given.expect(await ask(given, "/v1/login/recovery-code", {"code": person.recovery[0]}, handle))
    person.token = told["access_token"]
    problem(await ask(given, "/v1/me/email", {"email": "x@example.com"}, person.auth), 401, "step_up_required")
    listed = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    device = next(it["id"] for it in listed if it["kind"] == "totp")
    assert (await given.client.delete(f"/v1/me/factors/{device}", headers=person.auth)).status_code == 204
    problem(await ask(given, "/v1/me/email", {"email": "x@example.com"}, person.auth), 401, "step_up_required")


@pytest.mark.parametrize("over", ["session", "account"])
async def test_r58_a_revoke_is_not_outrun_by_a_wish_to_move(given: Given, postbox: Postbox, over: str) -> None:
    """The caller was looked up, then revoked, and only then writes."""
    person = await given.logged_in()
    who = await sessions.load_subject(given.world, EndUser(UUID(person.id), UUID(await session_of(given, person))))
    if over == "session":
        await ask(given, "/v1/logout", {}, person.auth)
    else:
        await given.post(f"/v1/users/{person.id}/suspend")
    with pytest.raises(TokenInvalid):
        await mailbox.change(given.world, Origin("203.0.113.9", None), who, "moved@example.com")
    assert await postbox.collected(given.world) == []


async def test_r58_resets_logins_and_revocations_take_turns(given: Given, postbox: Postbox, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them hold the account first, so that none is turned away for a lock that another will not let go."""
    for number in range(6):
        person = await given.logged_in()
        for _ in range(3):
            await ask(given, "/v1/password/forgot", {"identifier": person.email})
        tokens = [came.token for came in await postbox.collected(given.world) if "rst_" in came.part("plain")]
        acts = [ask(given, "/v1/password/reset", {"token": token, "new_password": NEW}) for token in tokens]
        acts += [ask(given, "/v1/login", {"identifier": person.email, "password": PASSWORD}) for _ in range(4)]
        acts += [given.client.delete("/v1/me/sessions", headers=person.auth) for _ in range(number % 2)]
        answers = await asyncio.gather(*acts)
        assert {answer.status_code for answer in answers} <= {200, 204, 401, 410, 503}
    assert "database_busy" not in capsys.readouterr().out  # the pool of hashes may be full, but nobody waits for a lock in vain


async def test_two_proofs_of_one_address_take_turns(given: Given, postbox: Postbox) -> None:
    for number in range(6):
        email = f"ola-{number}@example.com"
        await registered(given, email)
        await registered(given, email)
        tokens = [came.token for came in await postbox.collected(given.world)]
        answers = await asyncio.gather(*(ask(given, "/v1/email/verify", {"token": token}) for token in tokens * 2))
        assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410]
