"""Login by password: 200 or 202, and equal responses for known and unknown users."""

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from app.login import data_lifecycle
from app.login.models import Login
from tests.assertions import problem
from tests.given import PASSWORD, Given, Person


async def begin(given: Given, person: Person, **more: Any) -> httpx.Response:
    return await given.client.post("/v1/login", json={"identifier": person.email, "password": person.password, **more})


async def test_a_password_completes_the_login_of_an_account_without_second_factor(given: Given) -> None:
    body = given.expect(await begin(given, await given.person()))
    assert (body["status"], body["next"], body["token_type"], body["expires_in"]) == ("complete", [], "Bearer", 600)
    assert (body["session"]["acr"], body["session"]["amr"]) == ("aal1", ["pwd"])


async def test_with_a_second_factor_the_login_is_incomplete_and_lists_the_next_step(given: Given) -> None:
    answer = await begin(given, await given.with_totp())
    assert answer.status_code == 202
    body = answer.json()
    assert (body["status"], body["done"]) == ("incomplete", ["password"])
    assert body["next"] == [
        {
            "need": "second_factor",
            "any_of": [
                {"action": "verify_totp", "href": "/v1/login/totp"},
                {"action": "use_recovery_code", "href": "/v1/login/recovery-code"},
            ],
        }
    ]
    assert "access_token" not in body


async def test_a_code_completes_the_login_once(given: Given) -> None:
    person = await given.with_totp()
    handle = {"Authorization": f"Login {(await begin(given, person)).json()['login']['token']}"}
    assert given.expect(await given.client.get("/v1/login", headers=handle))["login"]["token"] is None
    done = given.expect(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle))
    assert (done["session"]["acr"], done["session"]["amr"]) == ("aal2", ["pwd", "otp", "mfa"])
    given.clock.forward(seconds=30)
    problem(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle), 401, "login_over")
    problem(await given.client.get("/v1/login", headers=handle), 401, "login_over")


async def test_password_and_code_can_be_sent_together(given: Given) -> None:
    person = await given.with_totp()
    assert given.expect(await begin(given, person, totp=given.totp(person)))["session"]["acr"] == "aal2"


async def test_r49_unknown_wrong_suspended_unverified_and_password_less_get_the_same_response(given: Given) -> None:
    suspended, unverified, bare = await given.person(), await given.person(email_verified=False), await given.person(password=None)
    await given.post(f"/v1/users/{suspended.id}/suspend")
    wrong = await given.person()
    wrong.password = PASSWORD + "?"
    answers = [await begin(given, person) for person in (Person("", "nobody@example.com"), suspended, unverified, bare, wrong)]
    for answer in answers:
        problem(answer, 401, "invalid_credentials")
    shapes = {(tuple(sorted(answer.headers.keys())), answer.text.replace(answer.headers["x-request-id"], "")) for answer in answers}
    assert len(shapes) == 1


@pytest.mark.parametrize("typed", ["{}", " {} ", "UPPER", "ＦＵＬＬ"])
async def test_r38_case_width_and_spaces_of_the_identifier_do_not_matter(given: Given, typed: str) -> None:
    person = await given.person()
    email = {"UPPER": person.email.upper(), "ＦＵＬＬ": person.email.replace("person", "ｐｅｒｓｏｎ")}.get(
        typed, typed.format(person.email)
    )
    answer = await given.client.post("/v1/login", json={"identifier": email, "password": person.password})
    assert answer.status_code == 200


async def test_r5_composed_and_decomposed_characters_are_the_same_password(given: Given) -> None:
    person = await given.person(password="pa\u030ass p\u00e5 norsk, takk")
    answer = await given.client.post("/v1/login", json={"identifier": person.email, "password": "p\u00e5ss pa\u030a norsk, takk"})
    assert answer.status_code == 200


@pytest.mark.parametrize("password", ["x" * 257, "\ufdfa" * 256, "\u4e00" * 256 + "x", "\U0001f600" * 257, "a\0" * 10])
async def test_r1_r69_too_long_passwords_are_refused_before_hashing(given: Given, password: str) -> None:
    for body in (
        {"identifier": "nobody@example.com", "password": password},
        {"identifier": (await given.person()).email, "password": password},
    ):
        problem(await given.client.post("/v1/login", json=body), 422, "malformed")


async def test_r1_a_password_has_at_least_15_characters(given: Given) -> None:
    body = {"email": "a@example.com", "password": "\u4e00" * 14}
    details = problem(await given.client.post("/v1/users", json=body, headers=given.root), 422, "malformed")
    assert details["errors"][0] == {"pointer": "/password", "code": "password_too_short", "detail": "must have at least 15 characters"}
    one = {**body, "password": "\ufdfa"}
    problem(await given.client.post("/v1/users", json=one, headers=given.root), 422, "malformed")
    assert (
        await given.client.post("/v1/users", json={**body, "password": "一二三四五六七八九十百千万億兆"}, headers=given.root)
    ).status_code == 201


async def test_a_login_handle_expires(given: Given) -> None:
    person = await given.with_totp()
    handle = {"Authorization": f"Login {(await begin(given, person)).json()['login']['token']}"}
    given.clock.forward(minutes=10)
    problem(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle), 401, "login_over")


async def test_five_wrong_codes_end_the_login(given: Given) -> None:
    person = await given.with_totp()
    handle = {"Authorization": f"Login {(await begin(given, person)).json()['login']['token']}"}
    for _ in range(5):
        problem(await given.client.post("/v1/login/totp", json={"code": "nonsense"}, headers=handle), 401, "code_refused")
    problem(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle), 401, "login_over")


async def test_a_login_can_be_cancelled(given: Given) -> None:
    person = await given.with_totp()
    handle = {"Authorization": f"Login {(await begin(given, person)).json()['login']['token']}"}
    for _ in range(2):
        assert (await given.client.delete("/v1/login", headers=handle)).status_code == 204
    problem(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle), 401, "login_over")


async def test_r41_r43_ten_wrong_codes_lock_the_factor_for_all_logins(given: Given) -> None:
    person = await given.with_totp()
    for _ in range(10):
        problem(await begin(given, person, totp="000000"), 401, "code_refused")
    locked = await begin(given, person, totp=given.totp(person))
    problem(locked, 429, "too_many_attempts")
    assert locked.headers["retry-after"] == "900"
    handle = {"Authorization": f"Login {(await begin(given, person)).json()['login']['token']}"}
    problem(await given.client.post("/v1/login/totp", json={"code": given.totp(person)}, headers=handle), 429, "too_many_attempts")
    given.clock.forward(minutes=15)
    assert (await begin(given, person, totp=given.totp(person))).status_code == 200


async def test_r42_success_resets_the_counter(given: Given) -> None:
    person = await given.with_totp()
    for _ in range(2):
        for _ in range(9):
            problem(await begin(given, person, totp="000000"), 401, "code_refused")
        given.expect(await begin(given, person, totp=given.totp(person)))
        given.clock.forward(seconds=30)


async def test_expired_logins_are_deleted(given: Given) -> None:
    person = await given.with_totp()
    old = await given.begin(person)
    given.clock.forward(minutes=11)
    await given.begin(person)
    assert await data_lifecycle.prune_logins(given.world) == 1
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(Login)) == 1
    problem(await given.client.get("/v1/login", headers=old), 401, "login_over")
