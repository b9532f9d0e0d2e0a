"""A session may do what it has recently proven; older tokens and revoked sessions may not (authentication R28, R55, R58)."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import jwt
import pytest

from app.base.problems import Problem
from app.login.factors import passwords
from app.login.factors import service as factors
from app.login.sessions import service as sessions
from app.web.callers import EndUser, Origin, Subject
from app.web.problems import TokenInvalid
from app.world import World
from tests.assertions import problem
from tests.given import PASSWORD, Given, Person

NEW = "a wholly different staple"
HERE = Origin("203.0.113.7", "tests")
Change = Callable[[World, Subject, Given, Person], Awaitable[object]]


async def step_up(given: Given, person: Person) -> dict[str, str]:
    """Raise the person's session with an authenticator code and return its new tokens."""
    created = await given.post("/v1/step-up", {}, person.auth)
    handle = {"Authorization": f"Login {created['login']['token']}"}
    return await given.post("/v1/login/totp", {"code": given.totp(person)}, handle)


async def load_caller(given: Given, person: Person) -> Subject:
    """Load the caller's session as a request does at its start."""
    session_id = given.expect(await given.client.get("/v1/me", headers=person.auth))["session"]["id"]
    return await sessions.load_subject(given.world, EndUser(UUID(person.id), UUID(session_id)))


async def change_password(world: World, subject: Subject, _given: Given, _person: Person) -> None:
    await passwords.change(world, HERE, subject, PASSWORD, NEW)


async def renew_recovery_codes(world: World, subject: Subject, _given: Given, _person: Person) -> object:
    return await factors.renew_recovery_codes(world, subject)


async def remove_totp(world: World, subject: Subject, given: Given, person: Person) -> None:
    listed = given.expect(await given.client.get(f"/v1/users/{person.id}/factors", headers=given.root))["data"]
    await factors.remove_factor(world, subject, UUID(next(row["id"] for row in listed if row["kind"] == "totp")))


@pytest.mark.parametrize("end", ["session", "suspension"])
@pytest.mark.parametrize("change", [change_password, renew_recovery_codes, remove_totp])
async def test_r58_a_request_in_progress_changes_nothing_after_its_session_was_revoked(given: Given, change: Change, end: str) -> None:
    """The request loaded its session before the revocation was answered."""
    person = await given.strong()
    subject = await load_caller(given, person)
    if end == "session":
        assert (await given.client.post("/v1/logout", headers=person.auth)).status_code == 204
    else:
        await given.post(f"/v1/users/{person.id}/suspend")
    with pytest.raises(TokenInvalid):
        await change(given.world, subject, given, person)
    if end == "suspension":
        await given.post(f"/v1/users/{person.id}/restore")
    given.clock.forward(seconds=30)
    assert (await given.logged_in(person)).token  # password and authenticator are unchanged


async def test_r58_a_confirmation_in_progress_adds_no_factor_after_logout(given: Given) -> None:
    person = await given.logged_in()
    created = await given.post("/v1/me/totp", {}, person.auth)
    subject = await load_caller(given, person)
    await given.client.post("/v1/logout", headers=person.auth)
    enrolled_person = Person(person.id, person.email, secret=created["secret"])
    with pytest.raises(Problem):
        await factors.confirm_totp(given.world, HERE, subject, UUID(created["id"]), given.totp(enrolled_person))
    assert (await given.logged_in(person)).token


async def test_r55_a_step_up_invalidates_earlier_tokens(given: Given) -> None:
    """Otherwise a thief of an earlier token would gain the higher level too."""
    person = await given.with_totp()
    given.clock.forward(seconds=30)
    tokens = await step_up(given, person)
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    assert not (await given.access((await given.product(requires=["login"]))["code"], person))["allow"]
    problem(await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh}), 401, "token_invalid")
    person.token = tokens["access_token"]
    assert given.expect(await given.client.get("/v1/me", headers=person.auth))["session"]["acr"] == "aal2"
    assert given.expect(await given.client.post("/v1/token/refresh", json={"refresh_token": tokens["refresh_token"]}))["access_token"]


async def test_r57_late_use_of_a_token_from_before_a_step_up_ends_the_session(given: Given) -> None:
    """A concurrent thread of the same client is only refused; ten seconds later it counts as a stolen copy."""
    person = await given.with_totp()
    tokens = await step_up(given, person)
    given.clock.forward(seconds=11)
    problem(await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh}), 401, "token_invalid")
    problem(await given.client.post("/v1/token/refresh", json={"refresh_token": tokens["refresh_token"]}), 401, "token_invalid")


async def test_auth_time_is_that_of_the_latest_proof(given: Given) -> None:
    """A service that compares `max_age` (RFC 9470) must see the step-up."""
    person = await given.with_totp()
    before = jwt.decode(str(person.token), options={"verify_signature": False})["auth_time"]
    given.clock.forward(minutes=5)
    tokens = await step_up(given, person)
    after = jwt.decode(tokens["access_token"], options={"verify_signature": False})["auth_time"]
    assert after == int(given.clock.now().timestamp())
    assert after - before == 330
    introspected = await given.post("/v1/introspect", {"token": tokens["access_token"]})
    assert introspected["auth_time"] == after


async def test_r28_a_session_by_recovery_code_cannot_change_the_password_even_without_remaining_factor(given: Given) -> None:
    person = await given.with_totp()
    tokens = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, await given.begin(person))
    person.token = tokens["access_token"]
    listed = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    totp = next(row["id"] for row in listed if row["kind"] == "totp")
    assert (await given.client.delete(f"/v1/me/factors/{totp}", headers=person.auth)).status_code == 204
    body = {"current": PASSWORD, "new": NEW}
    problem(await given.client.post("/v1/me/password", json=body, headers=person.auth), 401, "step_up_required")
    person.secret = None
    await given.logged_in(person)  # by password alone, because no factor remains
    assert (await given.client.post("/v1/me/password", json=body, headers=person.auth)).status_code == 204
