"""Locks after wrong attempts, and what a lock must not block (authentication R37 to R48)."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from app.events.models import Event
from app.login import attempts
from app.login.models import Factor
from app.web import counters
from app.web.addresses import network_group, parse_address
from app.web.models import AttemptCounter
from app.web.problems import TooManyAttempts
from tests.assertions import problem
from tests.given import Given, Person
from tests.login.clients import create_client_at

WRONG = "a wholly wrong staple"


async def log_in(given: Given, email: str, password: str, client: httpx.AsyncClient | None = None, **more: Any) -> httpx.Response:
    return await (client or given.client).post("/v1/login", json={"identifier": email, "password": password, **more})


async def fail_logins(given: Given, email: str, times: int, **more: Any) -> None:
    """Log in with a wrong password so many times."""
    for _ in range(times):
        problem(await log_in(given, email, WRONG, **more), 401, "invalid_credentials")


def read_wait(response: httpx.Response) -> int:
    problem(response, 429, "too_many_attempts")
    return int(response.headers["retry-after"])


async def test_r40_after_five_attempts_the_wait_doubles_up_to_fifteen_minutes(given: Given) -> None:
    person = await given.person()
    await fail_logins(given, person.email, 5)
    waits = []
    for _ in range(7):
        waits.append(read_wait(await log_in(given, person.email, person.password)))
        given.clock.forward(seconds=waits[-1])
        await fail_logins(given, person.email, 1)
    assert waits == [30, 60, 120, 240, 480, 900, 900]


async def test_r37_known_and_unknown_names_lock_alike(given: Given) -> None:
    person = await given.person()
    suspended = await given.person()
    await given.post(f"/v1/users/{suspended.id}/suspend")
    responses = []
    for email in (person.email, suspended.email, "nobody@example.com"):
        await fail_logins(given, email, 5)
        responses.append(await log_in(given, email, WRONG))
        assert read_wait(responses[-1]) == 30
    bodies = {response.text.replace(response.headers["x-request-id"], "") for response in responses}
    assert len(bodies) == 1
    assert len({tuple(sorted(response.headers)) for response in responses}) == 1


async def test_r38_a_name_has_one_counter_however_it_is_typed(given: Given) -> None:
    person = await given.person()
    for email in (
        person.email,
        person.email.upper(),
        f" {person.email} ",
        person.email.replace("person", "ｐｅｒｓｏｎ"),
        person.email.title(),
    ):
        await fail_logins(given, email, 1)
    assert read_wait(await log_in(given, person.email, person.password)) == 30


async def test_r39_a_password_lock_does_not_lock_the_second_factor(given: Given) -> None:
    person = await given.with_totp()
    handle = await given.begin(person)
    await fail_logins(given, person.email, 5)
    assert (await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle)).status_code == 200


async def test_r40_after_a_hundred_attempts_the_password_is_locked_until_it_is_reset(given: Given) -> None:
    person = await given.person()
    for _ in range(100):
        given.clock.forward(minutes=15)
        await fail_logins(given, person.email, 1)
    given.clock.forward(days=60)
    assert read_wait(await log_in(given, person.email, person.password)) == 3600
    await log_in(given, "nobody@example.com", WRONG)
    await counters.prune_counters(given.world)  # but not this one
    assert read_wait(await log_in(given, person.email, person.password)) == 3600
    assert (await given.client.post(f"/v1/users/{person.id}/unlock", headers=given.root)).status_code == 204
    assert (await log_in(given, person.email, person.password)).status_code == 200


async def test_r40_the_locks_of_a_second_factor_grow(given: Given) -> None:
    person = await given.with_totp()
    waits, key = set(), attempts.build_factor_key(given.world, "totp", person.id)
    for tries in range(1, 101):  # counted as the calls count them, without a password's hash for each
        await attempts.count_factor_attempt(given.world, key, attempts.SECOND_FACTOR)
        if tries >= 10:
            with pytest.raises(TooManyAttempts) as refused:
                await attempts.count_factor_attempt(given.world, key, attempts.SECOND_FACTOR)
            waits.add(refused.value.retry_after)
            given.clock.forward(hours=1)
    assert waits == {900, 3600}
    given.clock.forward(days=60)
    body = {"code": given.totp(person)}
    response = await given.client.post("/v1/login/totp", json=body, headers=await given.begin(person))
    assert read_wait(response) == 3600
    response = await given.client.post("/v1/login/recovery-code", json={"code": person.recovery[0]}, headers=await given.begin(person))
    assert response.status_code == 200
    assert (await log_in(given, person.email, person.password, totp=given.totp(person))).status_code == 200


async def test_r41_a_new_login_does_not_reset_the_counter_of_the_factor(given: Given) -> None:
    person = await given.with_totp()
    for _ in range(2):
        handle = await given.begin(person)
        for _ in range(5):
            response = await given.client.post("/v1/login/totp", json={"code": "000000"}, headers=handle)
            problem(response, 401, "code_refused")
    response = await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=await given.begin(person))
    assert read_wait(response) == 900


async def test_r42_a_correct_password_resets_its_own_counter_but_not_that_of_the_address(given: Given, app: FastAPI) -> None:
    given.configured(app, login_failures_per_ip=6)
    person = await given.person()
    for turn in range(2):
        await fail_logins(given, person.email, 3)
        if turn == 0:
            assert (await log_in(given, person.email, person.password)).status_code == 200
    assert read_wait(await log_in(given, person.email, person.password)) == 300


async def test_r43_an_attempt_that_was_not_checked_is_refunded(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue of hashes has space when the request arrives, and none after the attempt is counted."""
    person, others, count_attempt = await given.person(), set(range(1000)), attempts.count_attempt

    async def fill_queue(*arguments: Any) -> None:
        await count_attempt(*arguments)
        given.world.hasher.inside.update(others)

    with monkeypatch.context() as patched:
        patched.setattr(attempts, "count_attempt", fill_queue)
        for _ in range(8):
            problem(await log_in(given, person.email, person.password), 503, "busy")
            given.world.hasher.inside.difference_update(others)
    assert (await log_in(given, person.email, person.password)).status_code == 200


async def test_with_a_full_queue_a_login_is_refused_before_it_uses_the_database(given: Given) -> None:
    """It creates no counter, not even one that is refunded."""
    person, others = await given.person(), set(range(1000))
    given.world.hasher.inside.update(others)
    for _ in range(3):
        problem(await log_in(given, person.email, person.password), 503, "busy")
    given.world.hasher.inside.difference_update(others)
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(AttemptCounter)) == 0


async def test_r44_a_lock_does_not_affect_sessions_refreshes_and_known_devices(given: Given) -> None:
    person = await given.person()
    device = {"fingerprint": "the-laptop"}
    result = given.expect(await log_in(given, person.email, person.password, device=device))
    person.token, person.refresh = result["access_token"], result["refresh_token"]
    await fail_logins(given, person.email, 5)
    read_wait(await log_in(given, person.email, person.password))
    read_wait(await log_in(given, person.email, person.password, device={"fingerprint": "another"}))
    assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200
    assert (await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh})).status_code == 200
    assert (await log_in(given, person.email, person.password, device=device)).status_code == 200
    await fail_logins(given, person.email, 5, device=device)
    assert read_wait(await log_in(given, person.email, person.password, device=device)) == 30  # a known device has its own counter


async def test_r45_a_lock_applies_to_every_route_that_checks_the_factor(given: Given) -> None:
    person = await given.with_totp()
    step_up = await given.post("/v1/step-up", {}, person.auth)
    handle = {"Authorization": f"Login {step_up['login']['token']}"}
    for _ in range(10):
        problem(await log_in(given, person.email, person.password, totp="000000"), 401, "code_refused")
    code = {"code": given.totp(person)}
    read_wait(await given.client.post("/v1/login/totp", json=code, headers=handle))
    other = await given.logged_in()
    await fail_logins(given, other.email, 5)
    change = {"current": other.password, "new": "a wholly different staple"}
    read_wait(await given.client.post("/v1/me/password", json=change, headers=other.auth))


async def test_r45_wrong_passwords_at_a_password_change_count_like_failed_logins(given: Given) -> None:
    person = await given.logged_in()
    for _ in range(5):
        body = {"current": WRONG, "new": "a wholly different staple"}
        problem(await given.client.post("/v1/me/password", json=body, headers=person.auth), 403, "password_wrong")
    read_wait(await log_in(given, person.email, person.password))


async def test_r40_the_posts_and_failures_of_an_address_are_limited(given: Given, app: FastAPI) -> None:
    given.configured(app, login_posts_per_minute=30, login_failures_per_ip=20)
    people = [await given.person() for _ in range(7)]
    async with create_client_at(app, "203.0.113.9") as client, create_client_at(app, "203.0.113.10") as other:
        for turn in range(20):
            problem(await log_in(given, people[turn % 6].email, WRONG, client), 401, "invalid_credentials")
        assert read_wait(await log_in(given, people[6].email, people[6].password, client)) == 300
        assert (await log_in(given, people[6].email, people[6].password, other)).status_code == 200
        given.clock.forward(minutes=5)
        for _ in range(30):
            assert (await log_in(given, people[6].email, people[6].password, client)).status_code == 200
        assert read_wait(await log_in(given, people[6].email, people[6].password, client)) == 60


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("203.0.113.9", "203.0.113.10", False),
        ("::ffff:203.0.113.9", "203.0.113.9", True),
        (None, None, True),
    ],
)
def test_r46_the_addresses_of_an_ipv6_network_count_together(one: str | None, another: str | None, same: bool) -> None:
    assert (network_group(one) == network_group(another)) is same


async def test_r46_requests_without_an_address_share_one_limit(given: Given, app: FastAPI) -> None:
    given.configured(app, login_posts_per_minute=2)
    person = await given.person()
    for host, status in (("unix:", 200), ("garbage", 200), ("", 429)):
        async with create_client_at(app, host) as client:
            assert (await log_in(given, person.email, person.password, client)).status_code == status


async def test_r47_another_spelling_of_the_path_does_not_avoid_a_lock(given: Given) -> None:
    person = await given.person()
    await fail_logins(given, person.email, 5)
    for path in ("//v1/login", "/v1/login/", "/V1/login", "/v1/%6Cogin"):
        response = await given.client.post(path, json={"identifier": person.email, "password": person.password})
        assert response.status_code in {404, 429}, path


async def test_r48_the_table_of_counters_has_no_names_and_old_rows_are_deleted(given: Given) -> None:
    await fail_logins(given, "nobody@example.com", 1)
    async with given.world.db.query() as tx:
        keys = list(await tx.scalars(select(AttemptCounter.key)))
    assert len(keys) == 3
    assert attempts.build_password_key(given.world, "NOBODY@example.com") in keys
    given.clock.forward(days=31)
    assert await counters.prune_counters(given.world) == 3
    async with given.world.db.query() as tx:
        assert attempts.build_password_key(given.world, "nobody@example.com") not in list(await tx.scalars(select(AttemptCounter.key)))


async def test_r72_failures_are_events_with_their_reason(given: Given) -> None:
    """Only for the back office: all responses are the same."""
    person, suspended, unverified = await given.with_totp(), await given.person(), await given.person(email_verified=False)
    bare = await given.person(password=None)
    await given.post(f"/v1/users/{suspended.id}/suspend")
    for target in (Person("", "nobody@example.com"), person, suspended, unverified, bare):
        await fail_logins(given, target.email, 1)
    await log_in(given, person.email, person.password, totp="000000")
    await given.client.post("/v1/login/recovery-code", json={"code": "nonsense"}, headers=await given.begin(person))
    async with given.world.db.query() as tx:
        rows = (await tx.execute(select(Event.data, Event.user_id).where(Event.type == "login.failed").order_by(Event.id))).all()
        opened = await tx.scalar(select(func.count()).select_from(Event).where(Event.type == "session.opened"))
    failures = [(row.data["factor"], row.data["reason"]) for row in rows]
    assert failures == [
        ("password", "unknown"),
        ("password", "wrong"),
        ("password", "suspended"),
        ("password", "unverified"),
        ("password", "no_password"),
        ("otp", "wrong"),
        ("rc", "wrong"),
    ]
    assert rows[0].user_id is None
    assert str(rows[1].user_id) == person.id
    assert rows[0].data["ip"] == "127.0.0.1"
    assert opened == 1


async def test_r44_an_unlock_includes_known_devices(given: Given) -> None:
    person, device = await given.person(), {"fingerprint": "laptop-1"}
    assert (await log_in(given, person.email, person.password, device=device)).status_code == 200
    await fail_logins(given, person.email, 5, device=device)
    assert read_wait(await log_in(given, person.email, person.password, device=device))
    assert (await given.client.post(f"/v1/users/{person.id}/unlock", headers=given.root)).status_code == 204
    assert (await log_in(given, person.email, person.password, device=device)).status_code == 200


async def test_r43_concurrent_attempts_of_one_address_are_not_checked_beyond_its_limit(given: Given, app: FastAPI) -> None:
    """Each attempt counts as a failure until it succeeds; a correct password refunds only its own (authentication R42)."""
    given.configured(app, login_failures_per_ip=8, login_posts_per_minute=1000)
    person = await given.person()
    for _ in range(9):
        assert (await log_in(given, person.email, person.password)).status_code == 200
    responses = await asyncio.gather(*(log_in(given, f"nobody-{number}@example.com", WRONG) for number in range(24)))
    assert sum(response.status_code == 401 for response in responses) == 8
    assert {response.status_code for response in responses} == {401, 429}
    assert read_wait(await log_in(given, person.email, person.password)) > 0


async def test_r72_wrong_codes_of_an_enrolment_are_recorded_and_counted(given: Given, app: FastAPI) -> None:
    given.configured(app, login_failures_per_ip=2, login_posts_per_minute=1000)
    person = await given.logged_in()
    enrolment = await given.post("/v1/me/totp", {}, person.auth)
    for _ in range(2):
        response = await given.client.post(f"/v1/me/totp/{enrolment['id']}/confirm", json={"code": "000000"}, headers=person.auth)
        problem(response, 401, "code_refused")
    assert read_wait(await given.client.post(f"/v1/me/totp/{enrolment['id']}/confirm", json={"code": "000000"}, headers=person.auth))
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(Event).where(Event.type == "login.failed")) == 2


async def test_wrong_codes_do_not_end_a_later_step_without_a_code(given: Given) -> None:
    """After four wrong codes and the correct one, the remaining step is the new password."""
    person = await given.with_totp()
    await given.post(f"/v1/users/{person.id}/suspend")
    await given.post(f"/v1/users/{person.id}/restore")
    async with given.world.db.write() as tx:
        await tx.execute(update(Factor).where(Factor.kind == "password").values(must_change=True))
    handle = await given.begin(person)
    for _ in range(4):
        problem(await given.client.post("/v1/login/totp", json={"code": "000000"}, headers=handle), 401, "code_refused")
    result = given.expect(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle))
    assert result["next"][0]["need"] == "new_password"
    assert (await given.post("/v1/login/password", {"new": "a wholly different staple"}, handle))["status"] == "complete"


def test_r46_the_zone_of_an_address_is_ignored() -> None:
    assert parse_address("2001:db8::1%" + "a" * 100) == "2001:db8::1"


async def test_concurrent_correct_and_wrong_attempts_cause_no_deadlock(given: Given) -> None:
    """All transactions lock counters in one order; a deadlock would cause a 503."""
    person = await given.person()
    for _ in range(4):
        passwords = [WRONG if number % 3 == 0 else person.password for number in range(12)]
        responses = await asyncio.gather(*(log_in(given, person.email, password) for password in passwords))
        assert {response.status_code for response in responses} <= {200, 401, 429}
        given.clock.forward(minutes=16)


async def test_r42_attempts_on_a_locked_name_do_not_count_for_the_network(given: Given, app: FastAPI) -> None:
    """An attempt that is not checked is no failure of its address."""
    given.configured(app, login_failures_per_ip=8, login_posts_per_minute=1000)
    person, neighbour = await given.person(), await given.person()
    async with create_client_at(app, "203.0.113.9") as stranger:
        for _ in range(5):
            problem(await log_in(given, person.email, WRONG, stranger), 401, "invalid_credentials")
    for _ in range(10):
        assert read_wait(await log_in(given, person.email, person.password))
    assert (await log_in(given, neighbour.email, neighbour.password)).status_code == 200


async def test_r42_an_unacceptable_new_password_is_not_a_failed_attempt(given: Given, app: FastAPI) -> None:
    given.configured(app, login_failures_per_ip=8, login_posts_per_minute=1000)
    person = await given.logged_in()
    for _ in range(10):
        response = await given.client.post("/v1/me/password", json={"current": person.password, "new": "short"}, headers=person.auth)
        problem(response, 422, "malformed")
    assert (await log_in(given, person.email, person.password)).status_code == 200
