"""Tests that mailed tokens end with their session and with the account's `auth_epoch` (authentication R58, R59, R28)."""

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
from tests.login.account.mailbox import NEW, can_log_in, register, send
from tests.postbox import Postbox


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    return replace(world, settings=postbox.settings(world.settings, registration="open"))


async def read_session_id(given: Given, person: Person) -> str:
    return str(given.expect(await given.client.get("/v1/me", headers=person.auth))["session"]["id"])


async def request_address_change(given: Given, postbox: Postbox, person: Person) -> str:
    """Request an address change; return the token mailed to the new address."""
    assert (await send(given, "/v1/me/email", {"email": "moved@example.com"}, person.auth)).status_code == 202
    return next(mail.token for mail in await postbox.collected(given.world) if mail.to == ["moved@example.com"])


@pytest.mark.parametrize("by", ["owner", "logout", "limit"])
async def test_r59_an_address_change_ends_with_its_session(given: Given, postbox: Postbox, app: FastAPI, by: str) -> None:
    thief = await given.logged_in()
    owner = await given.logged_in(Person(thief.id, thief.email))
    token = await request_address_change(given, postbox, thief)
    if by == "owner":
        await given.client.delete(f"/v1/me/sessions/{await read_session_id(given, thief)}", headers=owner.auth)
    elif by == "logout":
        assert (await send(given, "/v1/logout", {}, thief.auth)).status_code == 204
    else:
        given.configured(app, sessions_per_user=2)
        await given.logged_in(Person(thief.id, thief.email))
    problem(await send(given, "/v1/email/verify", {"token": token}), 410, "one_time_token_spent")
    assert (await given.client.get("/v1/me", headers=owner.auth)).status_code == 200
    assert await can_log_in(given, thief.email)


async def test_r59_logging_out_spends_only_the_tokens_of_the_session(given: Given, postbox: Postbox) -> None:
    """Other tokens of the account stay valid."""
    person = await given.logged_in()
    await send(given, "/v1/password/forgot", {"identifier": person.email})
    await request_address_change(given, postbox, person)
    await send(given, "/v1/logout", {}, person.auth)
    async with given.world.db.query() as tx:
        remaining = await tx.scalars(select(OneTimeToken.purpose).where(OneTimeToken.used_at.is_(None)))
    assert remaining.all() == ["reset_password"]


@pytest.mark.parametrize("asked", ["reset", "verify", "move"])
async def test_r59_a_suspension_voids_tokens_mailed_before(given: Given, postbox: Postbox, asked: str) -> None:
    """They stay void when the account is restored."""
    person = await given.person(email_verified=False) if asked == "verify" else await given.logged_in()
    if asked == "move":
        token = await request_address_change(given, postbox, person)
    else:
        path = "/v1/password/forgot" if asked == "reset" else "/v1/email/verify/resend"
        await send(given, path, {"identifier": person.email})
        token = (await postbox.letter(given.world)).token
    for act in ("suspend", "restore"):
        await given.post(f"/v1/users/{person.id}/{act}")
    if asked == "reset":
        problem(await send(given, "/v1/password/reset", {"token": token, "new_password": NEW}), 410, "one_time_token_spent")
    else:
        problem(await send(given, "/v1/email/verify", {"token": token}), 410, "one_time_token_spent")
    assert await can_log_in(given, person.email) is (asked != "verify")


async def test_r28_a_recovery_code_does_not_permit_an_address_change(given: Given) -> None:
    """Not even after the authenticator was removed."""
    person = await given.with_totp()
    handle = await given.begin(person)
    result = given.expect(await send(given, "/v1/login/recovery-code", {"code": person.recovery[0]}, handle))
    person.token = result["access_token"]
    problem(await send(given, "/v1/me/email", {"email": "x@example.com"}, person.auth), 401, "step_up_required")
    rows = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    authenticator = next(row["id"] for row in rows if row["kind"] == "totp")
    assert (await given.client.delete(f"/v1/me/factors/{authenticator}", headers=person.auth)).status_code == 204
    problem(await send(given, "/v1/me/email", {"email": "x@example.com"}, person.auth), 401, "step_up_required")


@pytest.mark.parametrize("over", ["session", "account"])
async def test_r58_a_session_revoked_before_the_write_cannot_change_the_address(given: Given, postbox: Postbox, over: str) -> None:
    """The session is revoked between its lookup and the write."""
    person = await given.logged_in()
    subject = await sessions.load_subject(given.world, EndUser(UUID(person.id), UUID(await read_session_id(given, person))))
    if over == "session":
        await send(given, "/v1/logout", {}, person.auth)
    else:
        await given.post(f"/v1/users/{person.id}/suspend")
    with pytest.raises(TokenInvalid):
        await mailbox.change(given.world, Origin("203.0.113.9", None), subject, "moved@example.com")
    assert await postbox.collected(given.world) == []


async def test_r58_resets_logins_and_revocations_do_not_deadlock(
    given: Given, postbox: Postbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them lock the account first, so that none fails while waiting for a lock."""
    for number in range(6):
        person = await given.logged_in()
        for _ in range(3):
            await send(given, "/v1/password/forgot", {"identifier": person.email})
        tokens = [mail.token for mail in await postbox.collected(given.world) if "rst_" in mail.part("plain")]
        acts = [send(given, "/v1/password/reset", {"token": token, "new_password": NEW}) for token in tokens]
        acts += [send(given, "/v1/login", {"identifier": person.email, "password": PASSWORD}) for _ in range(4)]
        acts += [given.client.delete("/v1/me/sessions", headers=person.auth) for _ in range(number % 2)]
        answers = await asyncio.gather(*acts)
        assert {answer.status_code for answer in answers} <= {200, 204, 401, 410, 503}
    assert "database_busy" not in capsys.readouterr().out  # the hashing pool may be full, but no lock times out


async def test_two_registrations_of_one_address_create_one_account(given: Given, postbox: Postbox) -> None:
    for number in range(6):
        email = f"ola-{number}@example.com"
        await register(given, email)
        await register(given, email)
        tokens = [mail.token for mail in await postbox.collected(given.world)]
        answers = await asyncio.gather(*(send(given, "/v1/email/verify", {"token": token}) for token in tokens * 2))
        assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410]
