"""Tests of resetting a forgotten password: mail, token, second factor, and the end of sessions (authentication R67)."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from app.events.models import Event
from app.login import data_lifecycle
from app.login.account import lookup, password_reset
from app.login.mailed_tokens import OneTimeToken
from app.mail.models import Message, Template
from app.world import World
from tests.assertions import problem
from tests.given import PASSWORD, Given, Person
from tests.login.account.mailbox import NEW, can_log_in, send
from tests.postbox import Postbox


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    return replace(world, settings=postbox.settings(world.settings))


async def request_reset(given: Given, postbox: Postbox, person: Person) -> str:
    """Request a reset; return the mailed token."""
    await send(given, "/v1/password/forgot", {"identifier": person.email})
    return (await postbox.letter(given.world)).token


async def reset(given: Given, token: str, **more: Any) -> httpx.Response:
    return await send(given, "/v1/password/reset", {"token": token, "new_password": NEW, **more})


async def test_r67_a_reset_sets_the_password_and_opens_no_session(given: Given, postbox: Postbox) -> None:
    person = await given.logged_in(locale="zh-CN")
    token = await request_reset(given, postbox, person)
    answer = await reset(given, token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await can_log_in(given, person.email, NEW)
    assert not await can_log_in(given, person.email)
    notice = await postbox.letter(given.world)
    assert (notice.to, notice.message["Subject"]) == ([person.email], "您在 Licentia 的密码已更改")


async def test_r59_a_reset_ends_every_session_every_login_and_every_other_token(given: Given, postbox: Postbox) -> None:
    person = await given.logged_in()
    other = await request_reset(given, postbox, person)
    token = await request_reset(given, postbox, person)
    assert (await reset(given, token)).status_code == 204
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    problem(await reset(given, other), 410, "one_time_token_spent")


async def test_r59_a_reset_ends_pending_logins(given: Given, postbox: Postbox) -> None:
    person = await given.with_totp()
    login = await given.post("/v1/login", {"identifier": person.email, "password": PASSWORD}, {})
    token = await request_reset(given, postbox, person)
    assert (await reset(given, token, totp=given.totp(person))).status_code == 204
    given.clock.forward(seconds=30)
    handle = {"Authorization": f"Login {login['login']['token']}"}
    problem(await send(given, "/v1/login/totp", {"code": given.totp(person)}, handle), 401, "login_over")


async def test_r67_a_reset_requires_the_second_factor_and_keeps_it(given: Given, postbox: Postbox) -> None:
    person = await given.with_totp()
    token = await request_reset(given, postbox, person)
    problem(await reset(given, token), 401, "totp_required")
    problem(await reset(given, token, totp="000000"), 401, "code_refused")
    code = given.totp(person)
    assert (await reset(given, token, totp=code)).status_code == 204
    body = {"identifier": person.email, "password": NEW}
    assert (await send(given, "/v1/login", body)).status_code == 202
    problem(await send(given, "/v1/login", {**body, "totp": code}), 401, "code_refused")
    given.clock.forward(seconds=30)
    assert given.expect(await send(given, "/v1/login", {**body, "totp": given.totp(person)}))["session"]["acr"] == "aal2"


async def test_r40_r43_five_wrong_codes_spend_the_token(given: Given, postbox: Postbox) -> None:
    person = await given.with_totp()
    token = await request_reset(given, postbox, person)
    answers = await asyncio.gather(*(reset(given, token, totp="000000") for _ in range(6)))
    assert Counter(answer.json()["code"] for answer in answers) == {"code_refused": 5, "one_time_token_spent": 1}
    problem(await reset(given, token, totp=given.totp(person)), 410, "one_time_token_spent")


async def test_r41_wrong_codes_at_a_reset_count_for_the_account(given: Given, postbox: Postbox) -> None:
    """A new token does not reset the count: ten wrong codes lock the factor, at whichever endpoint."""
    person = await given.with_totp()
    for _ in range(2):
        token = await request_reset(given, postbox, person)
        for _ in range(5):
            problem(await reset(given, token, totp="000000"), 401, "code_refused")
    token = await request_reset(given, postbox, person)
    problem(await reset(given, token, totp=given.totp(person)), 429, "too_many_attempts")


async def test_one_token_sets_one_password(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    token = await request_reset(given, postbox, person)
    bodies = [{"token": token, "new_password": f"new password number {n}"} for n in range(6)]
    answers = await asyncio.gather(*(send(given, "/v1/password/reset", body) for body in bodies))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[204] == 1
    assert set(statuses) <= {204, 410, 503}  # the hashing pool may be full
    good = [await can_log_in(given, person.email, body["new_password"]) for body in bodies]
    assert good.count(True) == 1


async def test_a_refused_password_does_not_spend_the_token(given: Given, postbox: Postbox) -> None:
    token = await request_reset(given, postbox, await given.person())
    error = problem(await reset(given, token, new_password="short"), 422, "malformed")
    assert error["errors"][0]["pointer"] == "/new_password"
    assert (await reset(given, token)).status_code == 204


async def test_a_reset_token_expires_after_an_hour(given: Given, postbox: Postbox) -> None:
    token = await request_reset(given, postbox, await given.person())
    given.clock.forward(minutes=60)
    problem(await reset(given, token), 410, "one_time_token_spent")


async def test_a_token_is_valid_for_its_purpose_only(given: Given, postbox: Postbox) -> None:
    token = await request_reset(given, postbox, await given.person())
    problem(await send(given, "/v1/email/verify", {"token": token}), 410, "one_time_token_spent")
    person = await given.person(email_verified=False)
    await send(given, "/v1/email/verify/resend", {"identifier": person.email})
    problem(await reset(given, (await postbox.letter(given.world)).token), 410, "one_time_token_spent")


async def test_a_suspended_account_cannot_be_reset(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    token = await request_reset(given, postbox, person)
    await given.post(f"/v1/users/{person.id}/suspend")
    problem(await reset(given, token), 410, "one_time_token_spent")


async def test_r67_r77_a_reset_verifies_the_address_and_drops_earlier_factors(given: Given, postbox: Postbox) -> None:
    """Neither the password nor a factor of an unverified person remains."""
    person = await given.with_totp()
    await given.client.patch(f"/v1/users/{person.id}", json={"email_verified": False}, headers=given.root)
    token = await request_reset(given, postbox, person)
    assert (await reset(given, token)).status_code == 204
    assert given.expect(await send(given, "/v1/login", {"identifier": person.email, "password": NEW}))["session"]["acr"] == "aal1"
    result = given.expect(await given.client.get(f"/v1/users/{person.id}", headers=given.root))
    assert result["email_verified"]


async def test_an_account_without_a_password_gets_its_first_one(given: Given, postbox: Postbox) -> None:
    """Authentication R79: the operator creates the account, the user chooses the password."""
    person = await given.person(password=None)
    assert (await reset(given, await request_reset(given, postbox, person))).status_code == 204
    assert await can_log_in(given, person.email, NEW)


async def test_r50_an_unknown_address_writes_the_same_rows(given: Given, postbox: Postbox) -> None:
    """The response time depends on the statements, so an unknown address stores a token and a mail too, both unusable."""
    person = await given.person()
    for name in (person.email, "nobody@example.com"):
        await send(given, "/v1/password/forgot", {"identifier": name})
    async with given.world.db.query() as tx:
        tokens = (await tx.execute(select(OneTimeToken.user_id, OneTimeToken.payload_sealed).order_by(OneTimeToken.id))).all()
    assert [str(row.user_id) if row.user_id else None for row in tokens] == [person.id, None]
    assert all(row.payload_sealed for row in tokens)


async def test_the_events_of_a_reset_contain_neither_token_nor_address(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    token = await request_reset(given, postbox, person)
    await reset(given, token)
    async with given.world.db.query() as tx:
        events = (await tx.execute(select(Event.type, Event.data, Event.actor_type).order_by(Event.id))).all()
    assert ("password.reset", "user") in {(row.type, row.actor_type) for row in events}
    assert token not in str(events)
    assert person.email not in str(events)


async def test_a_locked_account_is_offered_a_new_password(given: Given, postbox: Postbox) -> None:
    """The mail sent for a locked password (authentication R40) contains a reset token."""
    person, world = await given.person(), given.world
    async with world.db.query() as tx:
        row = await lookup.find_by_address(tx, person.email)
    async with world.db.write() as tx:
        await password_reset.mail_reset_token(tx, world, row, Template.ACCOUNT_LOCKED)
    mail = await postbox.letter(world)
    assert mail.message["Subject"] == "Login by password is held back at Licentia"
    assert (await reset(given, mail.token)).status_code == 204


async def test_old_tokens_are_pruned(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    await request_reset(given, postbox, person)
    given.clock.forward(days=8)
    await request_reset(given, postbox, person)
    assert await data_lifecycle.prune_one_time_tokens(given.world) == 1
    async with given.world.db.query() as tx:
        assert len((await tx.execute(select(OneTimeToken.id))).all()) == 1


async def test_r67_a_reset_accepts_a_recovery_code(given: Given, postbox: Postbox) -> None:
    """It is counted, recorded and spent like at a login."""
    person = await given.with_totp()
    token = await request_reset(given, postbox, person)
    problem(await reset(given, token, recovery_code="0000-0000-0000-0000-0000"), 401, "code_refused")
    assert (await reset(given, token, recovery_code=person.recovery[0].lower())).status_code == 204
    login = await given.begin(Person(person.id, person.email, NEW))
    problem(await send(given, "/v1/login/recovery-code", {"code": person.recovery[0]}, login), 401, "code_refused")
    assert given.expect(await send(given, "/v1/login/recovery-code", {"code": person.recovery[1]}, login))["session"]["acr"] == "aal2"
    async with given.world.db.query() as tx:
        failures = (await tx.scalars(select(Event.data).where(Event.type == "login.failed"))).all()
    assert [(data["factor"], data["reason"]) for data in failures] == [("rc", "wrong"), ("rc", "wrong")]


async def test_r44_the_owner_of_a_locked_password_is_mailed_a_reset_token(given: Given, postbox: Postbox) -> None:
    """The mail is sent at the tenth wrong password in a row, when the wait is longest. An unknown name causes the same work."""
    person = await given.person(locale="nb")
    for email in ("nobody@example.com", person.email):
        for number in range(1, 11):
            answer = await send(given, "/v1/login", {"identifier": email, "password": "a wholly wrong staple"})
            assert answer.status_code == 401
            if 5 <= number < 10:
                given.clock.forward(minutes=15)
    letter = await postbox.letter(given.world)
    assert letter.to == [person.email]
    assert (await reset(given, letter.token)).status_code == 204
    assert await can_log_in(given, person.email, NEW)
    async with given.world.db.query() as tx:
        result = (await tx.scalars(select(Message.user_id).where(Message.template == Template.ACCOUNT_LOCKED).order_by(Message.id))).all()
    assert result == [None, UUID(person.id)]  # None: a message that is never sent


async def test_without_a_mail_server_requests_for_mail_are_refused(given: Given, app: Any) -> None:
    mute = given.world.settings.model_copy(update={"smtp_url": None, "env": "production"})
    app.state.world = replace(given.world, settings=mute)
    for path in ("/v1/password/forgot", "/v1/email/verify/resend"):
        problem(await send(given, path, {"identifier": "ola@example.com"}), 403, "mail_not_configured")
