"""Tests of registering, verifying and changing an address. Anonymous requests get the same response for every address."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from app.world import World
from tests.assertions import problem
from tests.given import PASSWORD, Given
from tests.login.account.mailbox import NEW, can_log_in, register, send, verify, visible_parts
from tests.postbox import Postbox
from tests.secrets.stored import read_all_tables


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    """The usual world, with a mail server and open registration."""
    return replace(world, settings=postbox.settings(world.settings, registration="open"))


async def test_a_registration_creates_the_account_at_the_verification(given: Given, postbox: Postbox) -> None:
    """No account and no session before the verification; afterwards a login with the chosen password."""
    await register(given, display_name="Ola Nordmann", locale="nb")
    assert given.expect(await given.client.get("/v1/users", headers=given.root))["data"] == []
    assert not await can_log_in(given, "ola@example.com")
    mail = await postbox.letter(given.world)
    assert mail.to == ["ola@example.com"]
    assert mail.message["Content-Language"] == "nb"
    assert await verify(given, mail) == {"status": "verified", "email": "ola@example.com", "password_dropped": False}
    assert await can_log_in(given, "ola@example.com")
    (user,) = given.expect(await given.client.get("/v1/users", headers=given.root))["data"]
    assert (user["email_verified"], user["display_name"], user["locale"]) == (True, "Ola Nordmann", "nb")


async def test_the_verification_mail_does_not_contain_the_registered_name(given: Given, postbox: Postbox) -> None:
    """A stranger's text does not reach a mailbox: the registered name is not in the mail."""
    await register(given, display_name="You have won, see evil.example")
    assert b"evil" not in (await postbox.letter(given.world)).wire


async def test_no_part_of_a_registration_is_stored_in_plain_text(given: Given, postbox: Postbox) -> None:
    """Neither the address nor the token nor the password's hash: a registration is encrypted until it is verified."""
    await register(given, display_name="Ola Nordmann")
    stored = await read_all_tables(given)
    token = (await postbox.letter(given.world)).token
    assert {"one_time_tokens", "messages", "throttles"} <= set(stored)
    for secret in ("ola@example.com", "Nordmann", token, token[4:], "argon2"):
        assert [name for name, rows in stored.items() if secret in rows] == []


async def test_a_token_works_once(given: Given, postbox: Postbox) -> None:
    await register(given)
    mail = await postbox.letter(given.world)
    answers = await asyncio.gather(*(send(given, "/v1/email/verify", {"token": mail.token}) for _ in range(8)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 410: 7}
    problem(await send(given, "/v1/email/verify", {"token": mail.token}), 410, "one_time_token_spent")


@pytest.mark.parametrize("token", ["vfy_nonsense", "x", "rst_" + "a" * 43])
async def test_an_unknown_token_is_refused(given: Given, token: str) -> None:
    problem(await send(given, "/v1/email/verify", {"token": token}), 410, "one_time_token_spent")


async def test_a_verification_token_expires_after_24_hours(given: Given, postbox: Postbox) -> None:
    await register(given)
    mail = await postbox.letter(given.world)
    given.clock.forward(hours=24)
    problem(await send(given, "/v1/email/verify", {"token": mail.token}), 410, "one_time_token_spent")


async def test_registration_can_be_closed(given: Given, app: Any) -> None:
    app.state.world = replace(given.world, settings=given.world.settings.model_copy(update={"registration": "closed"}))
    body = {"email": "ola@example.com", "password": PASSWORD}
    problem(await send(given, "/v1/users/register", body), 403, "registration_closed")


async def test_r1_a_registered_password_has_at_least_15_characters(given: Given) -> None:
    body = {"email": "ola@example.com", "password": "short"}
    problem(await send(given, "/v1/users/register", body), 422, "malformed")


async def test_r50_r51_r53_registering_has_the_same_response_for_every_address(given: Given, postbox: Postbox) -> None:
    """Unknown, taken, suspended, unverified: the response is the same, and only the owner gets a mail."""
    taken, suspended, unproven = await given.person(locale="ru"), await given.person(), await given.person(email_verified=False)
    await given.post(f"/v1/users/{suspended.id}/suspend")
    people = [taken.email, suspended.email, unproven.email, "nobody@example.com"]
    answers = [await send(given, "/v1/users/register", {"email": email, "password": NEW}) for email in people]
    assert len({visible_parts(answer) for answer in answers}) == 1
    letters = {mail.to[0]: mail for mail in await postbox.collected(given.world)}
    assert set(letters) == {taken.email, unproven.email, "nobody@example.com"}
    assert letters[taken.email].message["Subject"] == "У вас уже есть учётная запись в Licentia"
    assert "vfy_" not in letters[taken.email].part("plain")
    assert await can_log_in(given, taken.email)
    assert not await can_log_in(given, taken.email, NEW)


async def test_r77_two_registrations_of_one_address_drop_both_passwords(given: Given, postbox: Postbox) -> None:
    """Whichever mail is opened, the address is verified and neither password is used."""
    await send(given, "/v1/users/register", {"email": "ola@example.com", "password": "the squatter's own password"})
    await register(given)
    squatted, honest = await postbox.collected(given.world)
    assert (await verify(given, squatted))["password_dropped"]
    assert not await can_log_in(given, "ola@example.com", "the squatter's own password")
    assert not await can_log_in(given, "ola@example.com")
    problem(await send(given, "/v1/email/verify", {"token": honest.token}), 410, "one_time_token_spent")
    await send(given, "/v1/password/forgot", {"identifier": "ola@example.com"})
    mail = await postbox.letter(given.world)
    assert (await send(given, "/v1/password/reset", {"token": mail.token, "new_password": NEW})).status_code == 204
    assert await can_log_in(given, "ola@example.com", NEW)


async def test_r77_a_registration_beyond_the_mail_limit_disputes_the_address_too(given: Given, postbox: Postbox) -> None:
    """A squatter uses up the mail limit, then the owner registers and opens the newest mail: neither password is used."""
    squatters = "the squatter's own password"
    for _ in range(3):
        await send(given, "/v1/users/register", {"email": "ola@example.com", "password": squatters, "display_name": "Evil"})
    await postbox.collected(given.world)
    given.clock.forward(minutes=50)
    await send(given, "/v1/email/verify/resend", {"identifier": "ola@example.com"})
    *_, newest = await postbox.collected(given.world)
    await register(given)
    assert await postbox.collected(given.world) == []
    assert (await verify(given, newest))["password_dropped"]
    assert not await can_log_in(given, "ola@example.com", squatters)
    assert not await can_log_in(given, "ola@example.com")
    (user,) = given.expect(await given.client.get("/v1/users", headers=given.root))["data"]
    assert user["display_name"] is None


@pytest.mark.parametrize("opened", [0, -1])
async def test_r77_a_repeated_verification_mail_drops_the_password(given: Given, postbox: Postbox, opened: int) -> None:
    """Whichever mail the owner opens."""
    await register(given)
    for _ in range(2):
        await send(given, "/v1/email/verify/resend", {"identifier": "ola@example.com"})
    mails = await postbox.collected(given.world)
    assert len(mails) == 3
    assert (await verify(given, mails[opened]))["password_dropped"]
    assert not await can_log_in(given, "ola@example.com")


async def test_r77_the_password_sent_with_the_token_counts(given: Given, postbox: Postbox) -> None:
    """The owner of the mailbox has chosen it; the password of the registration is discarded."""
    await register(given)
    token = (await postbox.letter(given.world)).token
    error = problem(await send(given, "/v1/email/verify", {"token": token, "password": "short"}), 422, "malformed")
    assert error["errors"][0]["pointer"] == "/password"
    assert not given.expect(await send(given, "/v1/email/verify", {"token": token, "password": NEW}))["password_dropped"]
    assert await can_log_in(given, "ola@example.com", NEW)
    assert not await can_log_in(given, "ola@example.com")


async def test_a_password_is_accepted_only_with_the_token_of_a_registration(given: Given, postbox: Postbox) -> None:
    person = await given.person(email_verified=False)
    await send(given, "/v1/email/verify/resend", {"identifier": person.email})
    mail = await postbox.letter(given.world)
    problem(await send(given, "/v1/email/verify", {"token": mail.token, "password": NEW}), 422, "malformed")
    await verify(given, mail)
    assert await can_log_in(given, person.email)


async def test_r77_a_registration_ends_when_an_operator_creates_the_account(given: Given, postbox: Postbox) -> None:
    await register(given)
    mail = await postbox.letter(given.world)
    await given.post("/v1/users", {"email": "ola@example.com", "password": NEW, "email_verified": True})
    problem(await send(given, "/v1/email/verify", {"token": mail.token}), 409, "email_taken")
    assert not await can_log_in(given, "ola@example.com")


async def test_r78_an_unverified_account_has_no_session_and_no_factor(given: Given, postbox: Postbox) -> None:
    """A factor added before the verification is removed by it."""
    await register(given)
    problem(await send(given, "/v1/login", {"identifier": "ola@example.com", "password": PASSWORD}), 401, "invalid_credentials")
    person = await given.with_totp()
    await given.client.patch(f"/v1/users/{person.id}", json={"email_verified": False}, headers=given.root)
    problem(await send(given, "/v1/me/totp", {}, person.auth), 403, "email_not_verified")
    await postbox.collected(given.world)
    await send(given, "/v1/email/verify/resend", {"identifier": person.email})
    await verify(given, await postbox.letter(given.world))
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    assert await can_log_in(given, person.email)


async def test_a_verification_is_mailed_again(given: Given, postbox: Postbox) -> None:
    """Both tokens are valid until one is used. Anyone may have requested the second mail, so the password is sent with the token (R77)."""
    await register(given)
    await send(given, "/v1/email/verify/resend", {"identifier": " OLA@example.com "})
    first, again = await postbox.collected(given.world)
    assert not given.expect(await send(given, "/v1/email/verify", {"token": again.token, "password": PASSWORD}))["password_dropped"]
    problem(await send(given, "/v1/email/verify", {"token": first.token}), 410, "one_time_token_spent")
    assert await can_log_in(given, "ola@example.com")


async def test_an_operators_account_keeps_its_password_at_the_verification(given: Given, postbox: Postbox) -> None:
    person = await given.person(email_verified=False)
    assert not await can_log_in(given, person.email)
    await send(given, "/v1/email/verify/resend", {"identifier": person.email})
    await verify(given, await postbox.letter(given.world))
    assert await can_log_in(given, person.email)


@pytest.mark.parametrize("path", ["/v1/email/verify/resend", "/v1/password/forgot"])
async def test_r50_requesting_mail_has_the_same_response_for_every_address(given: Given, postbox: Postbox, path: str) -> None:
    proven, suspended = await given.person(), await given.person()
    await given.post(f"/v1/users/{suspended.id}/suspend")
    people = [proven.email, suspended.email, "nobody@example.com", "no address at all"]
    answers = [await send(given, path, {"identifier": name}) for name in people]
    assert len({visible_parts(answer) for answer in answers}) == 1
    assert answers[0].status_code == 202
    recipients = [mail.to[0] for mail in await postbox.collected(given.world)]
    assert recipients == ([proven.email] if path.endswith("forgot") else [])


@pytest.mark.parametrize("path", ["/v1/email/verify/resend", "/v1/password/forgot"])
async def test_r40_one_address_gets_three_mails_an_hour_and_the_response_stays_the_same(given: Given, postbox: Postbox, path: str) -> None:
    person = await given.person(email_verified="forgot" in path)
    answers = [await send(given, path, {"identifier": person.email}) for _ in range(5)]
    assert len({visible_parts(answer) for answer in answers}) == 1
    assert len(await postbox.collected(given.world)) == 3
    given.clock.forward(hours=1)
    await send(given, path, {"identifier": person.email})
    assert len(await postbox.collected(given.world)) == 1


async def test_r44_mails_requested_by_strangers_use_no_limit_of_another_purpose(given: Given, postbox: Postbox) -> None:
    """A request that sends no mail, such as a verification of a verified address, does not use up the limit of another purpose."""
    person = await given.person()
    for _ in range(4):
        await send(given, "/v1/email/verify/resend", {"identifier": person.email})
        await send(given, "/v1/password/forgot", {"identifier": "ola@example.com"})
    assert await postbox.collected(given.world) == []
    await send(given, "/v1/password/forgot", {"identifier": person.email})
    assert (await postbox.letter(given.world)).to == [person.email]
    await register(given)
    assert (await postbox.letter(given.world)).to == ["ola@example.com"]


async def test_r40_one_network_requests_twenty_mails_an_hour(given: Given) -> None:
    for number in range(20):
        assert (await send(given, "/v1/password/forgot", {"identifier": f"{number}@example.com"})).status_code == 202
    refused = await send(given, "/v1/password/forgot", {"identifier": "one-more@example.com"})
    problem(refused, 429, "too_many_attempts")
    assert refused.headers["retry-after"] == "3600"
    given.clock.forward(hours=1)
    assert (await send(given, "/v1/password/forgot", {"identifier": "one-more@example.com"})).status_code == 202


async def test_a_repeated_request_sends_no_second_mail(given: Given, postbox: Postbox) -> None:
    """`Idempotency-Key`: token and mail are written once, together with the response."""
    body, once = {"email": "ola@example.com", "password": PASSWORD}, {"Idempotency-Key": "one"}
    answers = [await send(given, "/v1/users/register", body, once) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert not (await verify(given, await postbox.letter(given.world)))["password_dropped"]


async def test_idempotency_keys_of_anonymous_callers_are_separate(given: Given, postbox: Postbox) -> None:
    """Responses to anonymous callers are stored by `Idempotency-Key` and by the address or token that they present."""
    once = {"Idempotency-Key": "one"}
    for email in ("ola@example.com", "kari@example.com"):
        assert (await send(given, "/v1/users/register", {"email": email, "password": PASSWORD}, once)).status_code == 202
    for mail in await postbox.collected(given.world):
        answer = await send(given, "/v1/email/verify", {"token": mail.token}, once)
        assert (answer.status_code, answer.json()["email"]) == (200, mail.to[0])
    for name in ("ola@example.com", "kari@example.com"):
        await send(given, "/v1/password/forgot", {"identifier": name}, once)
    for mail in await postbox.collected(given.world):
        assert (await send(given, "/v1/password/reset", {"token": mail.token, "new_password": NEW}, once)).status_code == 204


async def test_r43_concurrent_requests_stay_within_the_limit(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    await asyncio.gather(*(send(given, "/v1/password/forgot", {"identifier": person.email}) for _ in range(12)))
    assert len(await postbox.collected(given.world)) == 3
