"""Tests of changing the address of an account: the new one is verified by mail, the old one is notified (authentication R51, R59)."""

from collections import Counter
from dataclasses import replace

import pytest

from app.world import World
from tests.assertions import problem
from tests.given import Given, Person
from tests.login.account.mailbox import can_log_in, send, verify, visible_parts
from tests.postbox import Postbox


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    """The usual world, with a mail server."""
    return replace(world, settings=postbox.settings(world.settings))


async def test_r59_an_address_changes_when_the_new_one_is_verified(given: Given, postbox: Postbox) -> None:
    """The old address is notified twice; every other session ends, this one stays."""
    person, old = await given.logged_in(), await given.person()
    old.email = person.email
    elsewhere = await given.logged_in(Person(person.id, person.email))
    assert (await send(given, "/v1/me/email", {"email": "Moved@example.com"}, person.auth)).status_code == 202
    letters = {mail.to[0]: mail for mail in await postbox.collected(given.world)}
    assert set(letters) == {"Moved@example.com", person.email}
    assert "M…@example.com" in letters[person.email].part("plain")
    assert await can_log_in(given, person.email)
    await verify(given, letters["Moved@example.com"])
    assert not await can_log_in(given, person.email)
    assert await can_log_in(given, "moved@EXAMPLE.com")
    assert given.expect(await given.client.get("/v1/me", headers=person.auth))["user"]["email"] == "Moved@example.com"
    problem(await given.client.get("/v1/me", headers=elsewhere.auth), 401, "token_invalid")
    notice = await postbox.letter(given.world)
    assert (notice.to, notice.message["Subject"]) == ([person.email], "The e-mail address of your account at Licentia was changed")


async def test_r51_changing_to_a_taken_address_has_the_same_response(given: Given, postbox: Postbox) -> None:
    """Only the owner of the taken address is notified, by mail; the caller learns nothing."""
    person, other, suspended = await given.logged_in(), await given.person(), await given.person()
    await given.post(f"/v1/users/{suspended.id}/suspend")
    emails = [other.email, suspended.email, "free@example.com"]
    answers = [await send(given, "/v1/me/email", {"email": email}, person.auth) for email in emails]
    assert len({visible_parts(answer) for answer in answers}) == 1
    mails = Counter((mail.to[0], str(mail.message["Subject"]).partition(" ")[0]) for mail in await postbox.collected(given.world))
    assert mails == {(person.email, "A"): 3, (other.email, "You"): 1, ("free@example.com", "Confirm"): 1}


async def test_an_address_taken_before_the_verification_is_refused(given: Given, postbox: Postbox) -> None:
    person = await given.logged_in()
    await send(given, "/v1/me/email", {"email": "wanted@example.com"}, person.auth)
    letters = {mail.to[0]: mail for mail in await postbox.collected(given.world)}
    await given.post("/v1/users", {"email": "wanted@example.com"})
    problem(await send(given, "/v1/email/verify", {"token": letters["wanted@example.com"].token}), 409, "email_taken")
    assert await can_log_in(given, person.email)


async def test_changing_the_address_requires_a_recent_proof(given: Given) -> None:
    person = await given.logged_in()
    given.clock.forward(minutes=5, seconds=1)
    problem(await send(given, "/v1/me/email", {"email": "x@example.com"}, person.auth), 401, "step_up_required")
    guarded = await given.with_totp()
    error = problem(await send(given, "/v1/me/email", {"email": "x@example.com"}, guarded.auth), 401, "step_up_required")
    assert error["acr_values"] == "aal2"
    strong = await given.strong()
    assert (await send(given, "/v1/me/email", {"email": "x@example.com"}, strong.auth)).status_code == 202
