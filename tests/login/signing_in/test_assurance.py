"""What a session may do follows what it has proven, and since when; what it rested on before is dead (authentication R28, R55, R58)."""

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


async def stepped_up(given: Given, person: Person) -> dict[str, str]:
    """Raise the person's session by an authenticator; the tokens that it has then."""
    made = await given.post("/v1/step-up", {}, person.auth)
    handle = {"Authorization": f"Login {made['login']['token']}"}
    return await given.post("/v1/login/totp", {"code": given.totp(person)}, handle)


async def caller(given: Given, person: Person) -> Subject:
    """The session as a call found it at its beginning."""
    session_id = given.expect(await given.client.get("/v1/me", headers=person.auth))["session"]["id"]
    return await sessions.load_subject(given.world, EndUser(UUID(person.id), UUID(session_id)))


async def new_password(world: World, subject: Subject, _given: Given, _person: Person) -> None:
    await passwords.change(world, HERE, subject, PASSWORD, NEW)


async def new_paper(world: World, subject: Subject, _given: Given, _person: Person) -> object:
    return await factors.renew_recovery_codes(world, subject)


async def one_less(world: World, subject: Subject, given: Given, person: Person) -> None:
    listed = given.expect(await given.client.get(f"/v1/users/{person.id}/factors", headers=given.root))["data"]
    await factors.remove_factor(world, subject, UUID(next(row["id"] for row in listed if row["kind"] == "totp")))


@pytest.mark.parametrize("end", ["session", "suspension"])
@pytest.mark.parametrize("change", [new_password, new_paper, one_less])
async def test_r58_a_revoke_is_not_outrun_by_what_the_session_was_about_to_change(given: Given, change: Change, end: str) -> None:
    """The call had looked the session up; the revoke was answered in between."""
    person = await given.strong()
    who = await caller(given, person)
    if end == "session":
        assert (await given.client.post("/v1/logout", headers=person.auth)).status_code == 204
    else:
        await given.post(f"/v1/users/{person.id}/suspend")
    with pytest.raises(TokenInvalid):
        await change(given.world, who, given, person)
    if end == "suspension":
        await given.post(f"/v1/users/{person.id}/restore")
    given.clock.forward(seconds=30)
    assert (await given.logged_in(person)).token  # password and authenticator are what they were


async def test_r58_nor_by_an_enrolment(given: Given) -> None:
    person = await given.logged_in()
    made = await given.post("/v1/me/totp", {}, person.auth)
    who = await caller(given, person)
    await given.client.post("/v1/logout", headers=person.auth)
    device = Person(person.id, person.email, secret=made["secret"])
    with pytest.raises(Problem):
        await factors.confirm_totp(given.world, HERE, who, UUID(made["id"]), given.totp(device))
    assert (await given.logged_in(person)).token


async def test_r55_tokens_of_before_a_step_up_are_dead_after_it(given: Given) -> None:
    """Else a thief of the weaker one would be raised with its owner."""
    person = await given.with_totp()
    given.clock.forward(seconds=30)
    told = await stepped_up(given, person)
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    assert not (await given.access((await given.product(requires=["login"]))["code"], person))["allow"]
    problem(await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh}), 401, "token_invalid")
    person.token = told["access_token"]
    assert given.expect(await given.client.get("/v1/me", headers=person.auth))["session"]["acr"] == "aal2"
    assert given.expect(await given.client.post("/v1/token/refresh", json={"refresh_token": told["refresh_token"]}))["access_token"]


async def test_r57_one_of_before_that_comes_late_ends_the_session(given: Given) -> None:
    """A thread that asked at the same moment is only refused; ten seconds later it is somebody's copy."""
    person = await given.with_totp()
    told = await stepped_up(given, person)
    given.clock.forward(seconds=11)
    problem(await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh}), 401, "token_invalid")
    problem(await given.client.post("/v1/token/refresh", json={"refresh_token": told["refresh_token"]}), 401, "token_invalid")


async def test_auth_time_is_that_of_the_latest_proof(given: Given) -> None:
    """RFC 9470: whoever holds `max_age` against it must see the step-up."""
    person = await given.with_totp()
    before = jwt.decode(str(person.token), options={"verify_signature": False})["auth_time"]
    given.clock.forward(minutes=5)
    told = await stepped_up(given, person)
    after = jwt.decode(told["access_token"], options={"verify_signature": False})["auth_time"]
    assert after == int(given.clock.now().timestamp())
    assert after - before == 330
    introspected = await given.post("/v1/introspect", {"token": told["access_token"]})
    assert introspected["auth_time"] == after


async def test_r28_who_came_in_by_a_recovery_code_changes_no_password_even_without_a_factor_left(given: Given) -> None:
    person = await given.with_totp()
    told = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, await given.begin(person))
    person.token = told["access_token"]
    listed = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    device = next(row["id"] for row in listed if row["kind"] == "totp")
    assert (await given.client.delete(f"/v1/me/factors/{device}", headers=person.auth)).status_code == 204
    body = {"current": PASSWORD, "new": NEW}
    problem(await given.client.post("/v1/me/password", json=body, headers=person.auth), 401, "step_up_required")
    person.secret = None
    await given.logged_in(person)  # by the password alone, as the account now is
    assert (await given.client.post("/v1/me/password", json=body, headers=person.auth)).status_code == 204
