"""Slowing guesses down, and what a lock must not become: a weapon (authentication R37 to R48)."""

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


async def wrong(given: Given, email: str, times: int, **more: Any) -> None:
    for _ in range(times):
        problem(await log_in(given, email, WRONG, **more), 401, "invalid_credentials")


def waits(answer: httpx.Response) -> int:
    problem(answer, 429, "too_many_attempts")
    return int(answer.headers["retry-after"])


async def test_r40_five_are_free_then_the_wait_doubles_to_a_quarter_of_an_hour(given: Given) -> None:
    person = await given.person()
    await wrong(given, person.email, 5)
    seen = []
    for _ in range(7):
        seen.append(waits(await log_in(given, person.email, person.password)))
        given.clock.forward(seconds=seen[-1])
        await wrong(given, person.email, 1)
    assert seen == [30, 60, 120, 240, 480, 900, 900]


async def test_r37_known_and_unknown_names_lock_alike(given: Given) -> None:
    person = await given.person()
    suspended = await given.person()
    await given.post(f"/v1/users/{suspended.id}/suspend")
    answers = []
    for email in (person.email, suspended.email, "nobody@example.com"):
        await wrong(given, email, 5)
        answers.append(await log_in(given, email, WRONG))
        assert waits(answers[-1]) == 30
    bodies = {answer.text.replace(answer.headers["x-request-id"], "") for answer in answers}
    assert len(bodies) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1


async def test_r38_a_name_has_one_counter_however_it_is_typed(given: Given) -> None:
    person = await given.person()
    for email in (
        person.email,
        person.email.upper(),
        f" {person.email} ",
        person.email.replace("person", "ｐｅｒｓｏｎ"),
        person.email.title(),
    ):
        await wrong(given, email, 1)
    assert waits(await log_in(given, person.email, person.password)) == 30


async def test_r39_a_password_lock_and_a_factor_lock_are_apart(given: Given) -> None:
    person = await given.with_totp()
    handle = await given.begin(person)
    await wrong(given, person.email, 5)
    assert (await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle)).status_code == 200


async def test_r40_at_a_hundred_the_password_is_off_until_it_is_recovered(given: Given) -> None:
    person = await given.person()
    for _ in range(100):
        given.clock.forward(minutes=15)
        await wrong(given, person.email, 1)
    given.clock.forward(days=60)
    assert waits(await log_in(given, person.email, person.password)) == 3600
    await log_in(given, "nobody@example.com", WRONG)
    await counters.prune_counters(given.world)  # but not this one
    assert waits(await log_in(given, person.email, person.password)) == 3600
    assert (await given.client.post(f"/v1/users/{person.id}/unlock", headers=given.root)).status_code == 204
    assert (await log_in(given, person.email, person.password)).status_code == 200


async def test_r40_a_second_factor_locks_harder_and_harder(given: Given) -> None:
    person = await given.with_totp()
    seen, key = set(), attempts.build_factor_key(given.world, "totp", person.id)
    for tries in range(1, 101):  # counted as the calls count them, without a password's hash for each
        await attempts.count_factor_attempt(given.world, key, attempts.SECOND_FACTOR)
        if tries >= 10:
            with pytest.raises(TooManyAttempts) as refused:
                await attempts.count_factor_attempt(given.world, key, attempts.SECOND_FACTOR)
            seen.add(refused.value.retry_after)
            given.clock.forward(hours=1)
    assert seen == {900, 3600}
    given.clock.forward(days=60)
    body = {"code": given.totp(person)}
    answer = await given.client.post("/v1/login/totp", json=body, headers=await given.begin(person))
    assert waits(answer) == 3600
    answer = await given.client.post("/v1/login/recovery-code", json={"code": person.recovery[0]}, headers=await given.begin(person))
    assert answer.status_code == 200
    assert (await log_in(given, person.email, person.password, totp=given.totp(person))).status_code == 200


async def test_r41_a_new_login_does_not_reset_the_counter_of_the_factor(given: Given) -> None:
    person = await given.with_totp()
    for _ in range(2):
        handle = await given.begin(person)
        for _ in range(5):
            answer = await given.client.post("/v1/login/totp", json={"code": "000000"}, headers=handle)
            problem(answer, 401, "code_refused")
    answer = await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=await given.begin(person))
    assert waits(answer) == 900


async def test_r42_a_right_password_resets_its_counter_and_never_that_of_the_address(given: Given, app: FastAPI) -> None:
    given.configured(app, login_failures_per_ip=6)
    person = await given.person()
    for _ in range(2):
        await wrong(given, person.email, 3)
        if _ == 0:
            assert (await log_in(given, person.email, person.password)).status_code == 200
    assert waits(await log_in(given, person.email, person.password)) == 300


async def test_r43_what_the_service_was_too_busy_to_look_at_is_given_back(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash pool is full only after the attempt was counted."""
    person, others, count_attempt = await given.person(), set(range(1000)), attempts.count_attempt

    async def filled(*arguments: Any) -> None:
        await count_attempt(*arguments)
        given.world.hasher.inside.update(others)

    with monkeypatch.context() as patched:
        patched.setattr(attempts, "count_attempt", filled)
        for _ in range(8):
            problem(await log_in(given, person.email, person.password), 503, "busy")
            given.world.hasher.inside.difference_update(others)
    assert (await log_in(given, person.email, person.password)).status_code == 200


async def test_a_full_hash_pool_refuses_a_login_before_any_database_access(given: Given) -> None:
    """It leaves no counter behind, not even one that is taken back."""
    person, others = await given.person(), set(range(1000))
    given.world.hasher.inside.update(others)
    for _ in range(3):
        problem(await log_in(given, person.email, person.password), 503, "busy")
    given.world.hasher.inside.difference_update(others)
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(AttemptCounter)) == 0


async def test_r44_a_lock_leaves_sessions_refreshes_and_known_devices_alone(given: Given) -> None:
    person = await given.person()
    device = {"fingerprint": "the-laptop"}
    details = given.expect(await log_in(given, person.email, person.password, device=device))
    person.token, person.refresh = details["access_token"], details["refresh_token"]
    await wrong(given, person.email, 5)
    waits(await log_in(given, person.email, person.password))
    waits(await log_in(given, person.email, person.password, device={"fingerprint": "another"}))
    assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200
    assert (await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh})).status_code == 200
    assert (await log_in(given, person.email, person.password, device=device)).status_code == 200
    await wrong(given, person.email, 5, device=device)
    assert waits(await log_in(given, person.email, person.password, device=device)) == 30  # it has a counter of its own


async def test_r45_a_lock_holds_on_every_path_that_uses_the_factor(given: Given) -> None:
    person = await given.with_totp()
    begun = await given.post("/v1/step-up", {}, person.auth)
    stepping = {"Authorization": f"Login {begun['login']['token']}"}
    for _ in range(10):
        problem(await log_in(given, person.email, person.password, totp="000000"), 401, "code_refused")
    code = {"code": given.totp(person)}
    waits(await given.client.post("/v1/login/totp", json=code, headers=stepping))
    other = await given.logged_in()
    await wrong(given, other.email, 5)
    change = {"current": other.password, "new": "a wholly different staple"}
    waits(await given.client.post("/v1/me/password", json=change, headers=other.auth))


async def test_r45_guessing_at_the_change_of_a_password_counts_like_guessing_at_the_door(given: Given) -> None:
    person = await given.logged_in()
    for _ in range(5):
        body = {"current": WRONG, "new": "a wholly different staple"}
        problem(await given.client.post("/v1/me/password", json=body, headers=person.auth), 403, "password_wrong")
    waits(await log_in(given, person.email, person.password))


async def test_r40_posts_and_failures_of_an_address_are_limited(given: Given, app: FastAPI) -> None:
    given.configured(app, login_posts_per_minute=30, login_failures_per_ip=20)
    people = [await given.person() for _ in range(7)]
    async with create_client_at(app, "203.0.113.9") as client, create_client_at(app, "203.0.113.10") as other:
        for turn in range(20):
            problem(await log_in(given, people[turn % 6].email, WRONG, client), 401, "invalid_credentials")
        assert waits(await log_in(given, people[6].email, people[6].password, client)) == 300
        assert (await log_in(given, people[6].email, people[6].password, other)).status_code == 200
        given.clock.forward(minutes=5)
        for _ in range(30):
            assert (await log_in(given, people[6].email, people[6].password, client)).status_code == 200
        assert waits(await log_in(given, people[6].email, people[6].password, client)) == 60


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
def test_r46_an_ipv6_customer_is_one_network(one: str | None, another: str | None, same: bool) -> None:
    assert (network_group(one) == network_group(another)) is same


async def test_r46_without_an_address_there_is_one_bucket_and_it_is_limited(given: Given, app: FastAPI) -> None:
    given.configured(app, login_posts_per_minute=2)
    person = await given.person()
    for host, status in (("unix:", 200), ("garbage", 200), ("", 429)):
        async with create_client_at(app, host) as client:
            assert (await log_in(given, person.email, person.password, client)).status_code == status


async def test_r47_another_spelling_of_the_path_is_another_path(given: Given) -> None:
    person = await given.person()
    await wrong(given, person.email, 5)
    for path in ("//v1/login", "/v1/login/", "/V1/login", "/v1/%6Cogin"):
        answer = await given.client.post(path, json={"identifier": person.email, "password": person.password})
        assert answer.status_code in {404, 429}, path


async def test_r48_counters_have_a_table_of_their_own_that_names_nobody_and_forgets(given: Given) -> None:
    await wrong(given, "nobody@example.com", 1)
    async with given.world.db.query() as tx:
        keys = list(await tx.scalars(select(AttemptCounter.key)))
    assert len(keys) == 3
    assert attempts.build_password_key(given.world, "NOBODY@example.com") in keys
    given.clock.forward(days=31)
    assert await counters.prune_counters(given.world) == 3
    async with given.world.db.query() as tx:
        assert attempts.build_password_key(given.world, "nobody@example.com") not in list(await tx.scalars(select(AttemptCounter.key)))


async def test_r72_failures_are_events_with_their_reason(given: Given) -> None:
    """For the back office alone; the answers were all the same."""
    person, suspended, unverified = await given.with_totp(), await given.person(), await given.person(email_verified=False)
    bare = await given.person(password=None)
    await given.post(f"/v1/users/{suspended.id}/suspend")
    for name in (Person("", "nobody@example.com"), person, suspended, unverified, bare):
        await wrong(given, name.email, 1)
    await log_in(given, person.email, person.password, totp="000000")
    await given.client.post("/v1/login/recovery-code", json={"code": "nonsense"}, headers=await given.begin(person))
    async with given.world.db.query() as tx:
        rows = (await tx.execute(select(Event.data, Event.user_id).where(Event.type == "login.failed").order_by(Event.id))).all()
        opened = await tx.scalar(select(func.count()).select_from(Event).where(Event.type == "session.opened"))
    details = [(row.data["factor"], row.data["reason"]) for row in rows]
    assert details == [
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


async def test_r44_unlocking_opens_devices_that_were_seen_too(given: Given) -> None:
    person, device = await given.person(), {"fingerprint": "laptop-1"}
    assert (await log_in(given, person.email, person.password, device=device)).status_code == 200
    await wrong(given, person.email, 5, device=device)
    assert waits(await log_in(given, person.email, person.password, device=device))
    assert (await given.client.post(f"/v1/users/{person.id}/unlock", headers=given.root)).status_code == 204
    assert (await log_in(given, person.email, person.password, device=device)).status_code == 200


async def test_r43_a_burst_from_one_address_is_not_looked_at_beyond_its_limit(given: Given, app: FastAPI) -> None:
    """Each try is a failure until it has passed; a right password takes its own back and no more (authentication R42)."""
    given.configured(app, login_failures_per_ip=8, login_posts_per_minute=1000)
    person = await given.person()
    for _ in range(9):
        assert (await log_in(given, person.email, person.password)).status_code == 200
    answers = await asyncio.gather(*(log_in(given, f"nobody-{number}@example.com", WRONG) for number in range(24)))
    assert sum(answer.status_code == 401 for answer in answers) == 8
    assert {answer.status_code for answer in answers} == {401, 429}
    assert waits(await log_in(given, person.email, person.password)) > 0


async def test_r72_wrong_codes_of_an_enrolment_are_noted_and_counted(given: Given, app: FastAPI) -> None:
    given.configured(app, login_failures_per_ip=2, login_posts_per_minute=1000)
    person = await given.logged_in()
    created = await given.post("/v1/me/totp", {}, person.auth)
    for _ in range(2):
        answer = await given.client.post(f"/v1/me/totp/{created['id']}/confirm", json={"code": "000000"}, headers=person.auth)
        problem(answer, 401, "code_refused")
    assert waits(await given.client.post(f"/v1/me/totp/{created['id']}/confirm", json={"code": "000000"}, headers=person.auth))
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(Event).where(Event.type == "login.failed")) == 2


async def test_the_tries_of_codes_do_not_close_the_step_that_takes_none(given: Given) -> None:
    """Four wrong codes and the right one: what is left of the login is the new password."""
    person = await given.with_totp()
    await given.post(f"/v1/users/{person.id}/suspend")
    await given.post(f"/v1/users/{person.id}/restore")
    async with given.world.db.write() as tx:
        await tx.execute(update(Factor).where(Factor.kind == "password").values(must_change=True))
    handle = await given.begin(person)
    for _ in range(4):
        problem(await given.client.post("/v1/login/totp", json={"code": "000000"}, headers=handle), 401, "code_refused")
    details = given.expect(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle))
    assert details["next"][0]["need"] == "new_password"
    assert (await given.post("/v1/login/password", {"new": "a wholly different staple"}, handle))["status"] == "complete"


def test_r46_a_zone_in_an_address_is_of_another_machine() -> None:
    assert parse_address("2001:db8::1%" + "a" * 100) == "2001:db8::1"


async def test_right_and_wrong_tries_at_once_never_wait_in_a_circle(given: Given) -> None:
    """One order of counters for all: a database that had to break a circle would answer 503."""
    person = await given.person()
    for _ in range(4):
        passwords = [WRONG if number % 3 == 0 else person.password for number in range(12)]
        answers = await asyncio.gather(*(log_in(given, person.email, password) for password in passwords))
        assert {answer.status_code for answer in answers} <= {200, 401, 429}
        given.clock.forward(minutes=16)


async def test_r42_a_lock_of_one_name_is_not_paid_by_its_whole_network(given: Given, app: FastAPI) -> None:
    """What is not looked at is no failure of the address it came from."""
    given.configured(app, login_failures_per_ip=8, login_posts_per_minute=1000)
    person, neighbour = await given.person(), await given.person()
    async with create_client_at(app, "203.0.113.9") as stranger:
        for _ in range(5):
            problem(await log_in(given, person.email, WRONG, stranger), 401, "invalid_credentials")
    for _ in range(10):
        assert waits(await log_in(given, person.email, person.password))
    assert (await log_in(given, neighbour.email, neighbour.password)).status_code == 200


async def test_r42_a_new_password_that_is_no_good_is_no_wrong_guess(given: Given, app: FastAPI) -> None:
    given.configured(app, login_failures_per_ip=8, login_posts_per_minute=1000)
    person = await given.logged_in()
    for _ in range(10):
        answer = await given.client.post("/v1/me/password", json={"current": person.password, "new": "short"}, headers=person.auth)
        problem(answer, 422, "malformed")
    assert (await log_in(given, person.email, person.password)).status_code == 200
