"""Tests of recovery codes: ten codes, each usable once (authentication R24 to R28)."""

import re

import httpx
import pytest
from sqlalchemy import select

from app.login.models import Factor
from tests.assertions import problem
from tests.given import Given, Person

FORM = re.compile(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){4}")


async def use_code(given: Given, person: Person, code: str) -> httpx.Response:
    return await given.client.post("/v1/login/recovery-code", json={"code": code}, headers=await given.begin(person))


async def log_in_by_recovery_code(given: Given, person: Person, code: str) -> Person:
    person.token = given.expect(await use_code(given, person, code))["access_token"]
    return person


async def test_r24_ten_codes_come_with_the_first_authenticator_and_not_with_the_second(given: Given) -> None:
    person = await given.with_totp()
    first = person.recovery
    assert len(set(first)) == 10
    assert all(FORM.fullmatch(code) for code in first)
    assert len({code[:4] for code in first}) == 10
    await given.logged_in(person)
    enrolment = await given.post("/v1/me/totp", {"name": "tablet"}, person.auth)
    second = Person(person.id, person.email, secret=enrolment["secret"])
    result = await given.post(f"/v1/me/totp/{enrolment['id']}/confirm", {"code": given.totp(second)}, person.auth)
    assert result["recovery_codes"] is None


async def test_r25_each_code_has_its_own_salt(given: Given) -> None:
    person = await given.with_totp()
    async with given.world.db.query() as tx:
        hashes = list(await tx.scalars(select(Factor.hash).where(Factor.kind == "recovery")))
    assert len({str(text).split("$")[4] for text in hashes}) == 10
    assert all(str(text).startswith("$argon2id$") for text in hashes)
    assert not any(code.replace("-", "") in str(hashes) for code in person.recovery)


@pytest.mark.parametrize("typed", ["{}", "lower", "bare", "spaces"])
async def test_r24_case_dashes_and_spaces_do_not_matter(given: Given, typed: str) -> None:
    person = await given.with_totp()
    code = person.recovery[0]
    typed = {"lower": code.lower(), "bare": code.replace("-", ""), "spaces": code.replace("-", " ")}.get(typed, code)
    result = given.expect(await use_code(given, person, typed))
    assert (result["session"]["acr"], result["session"]["amr"]) == ("aal2", ["pwd", "rc", "mfa"])


async def test_r26_a_code_works_once_and_then_is_refused_like_a_wrong_one(given: Given) -> None:
    person = await given.with_totp()
    given.expect(await use_code(given, person, person.recovery[0]))
    selector = person.recovery[1][:4]
    details = set()
    for code in (person.recovery[0], f"{selector}-0000-0000-0000-0000", "0000-0000-0000-0000-0000", "nonsense"):
        details.add(problem(await use_code(given, person, code), 401, "code_refused")["detail"])
    assert len(details) == 1


async def test_r27_a_new_set_voids_the_old_one(given: Given) -> None:
    person = await given.strong()
    new_set = await given.post("/v1/me/recovery-codes", {}, person.auth)
    assert not set(new_set["recovery_codes"]) & set(person.recovery)
    codes = given.expect(await given.client.get("/v1/me/recovery-codes", headers=person.auth))
    assert (codes["remaining"], codes["total"], codes["low"]) == (10, 10, False)
    problem(await use_code(given, person, person.recovery[0]), 401, "code_refused")
    assert (await use_code(given, person, new_set["recovery_codes"][0])).status_code == 200


async def test_r27_low_is_reported_at_three_codes(given: Given) -> None:
    person = await given.with_totp()
    for code in person.recovery[:7]:
        await log_in_by_recovery_code(given, person, code)
        given.clock.forward(minutes=1)
    codes = given.expect(await given.client.get("/v1/me/recovery-codes", headers=person.auth))
    assert (codes["remaining"], codes["total"], codes["low"]) == (3, 10, True)


async def test_r27_a_new_set_requires_a_second_factor_and_a_step_up(given: Given) -> None:
    person = await given.logged_in()
    problem(await given.client.post("/v1/me/recovery-codes", headers=person.auth), 409, "second_factor_missing")
    await given.with_totp(person)
    problem(await given.client.post("/v1/me/recovery-codes", headers=person.auth), 401, "step_up_required")


async def test_r28_a_recovery_code_permits_only_replacing_factors_for_ten_minutes(given: Given) -> None:
    person = await log_in_by_recovery_code(given, lost := await given.with_totp(), lost.recovery[0])
    problem(await given.client.post("/v1/me/recovery-codes", headers=person.auth), 401, "step_up_required")
    body = {"current": person.password, "new": "a wholly different staple"}
    problem(await given.client.post("/v1/me/password", json=body, headers=person.auth), 401, "step_up_required")
    given.clock.forward(minutes=9, seconds=59)
    assert (await given.client.post("/v1/me/totp", headers=person.auth)).status_code == 201
    await log_in_by_recovery_code(given, person, person.recovery[1])
    given.clock.forward(minutes=9, seconds=59)
    lost_one = next(row["id"] for row in await list_factors(given, person) if row["kind"] == "totp" and row["state"] == "active")
    assert (await given.client.delete(f"/v1/me/factors/{lost_one}", headers=person.auth)).status_code == 204
    given.clock.forward(seconds=2)
    result = await given.post("/v1/login", {"identifier": person.email, "password": person.password}, {})
    assert result["session"]["acr"] == "aal1"


async def list_factors(given: Given, person: Person) -> list[dict[str, str]]:
    result: list[dict[str, str]] = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    return result


async def test_r28_the_window_ends_after_ten_minutes(given: Given) -> None:
    person = await given.with_totp()
    result = given.expect(await use_code(given, person, person.recovery[0]))
    given.clock.forward(minutes=10, milliseconds=1)
    person.token = (await given.post("/v1/token/refresh", {"refresh_token": result["refresh_token"]}, {}))["access_token"]
    problem(await given.client.post("/v1/me/totp", headers=person.auth), 401, "step_up_required")


async def test_r39_recovery_codes_work_while_the_authenticator_is_locked(given: Given) -> None:
    person = await given.with_totp()
    for _ in range(10):
        body = {"identifier": person.email, "password": person.password, "totp": "000000"}
        problem(await given.client.post("/v1/login", json=body), 401, "code_refused")
    body["totp"] = given.totp(person)
    problem(await given.client.post("/v1/login", json=body), 429, "too_many_attempts")
    assert (await use_code(given, person, person.recovery[0])).status_code == 200
    assert (await given.client.post("/v1/login", json=body)).status_code == 200  # recovered


async def test_five_wrong_codes_of_either_kind_end_a_login(given: Given) -> None:
    person = await given.with_totp()
    handle = await given.begin(person)
    for path in ("totp", "recovery-code", "totp", "recovery-code", "totp"):
        problem(await given.client.post(f"/v1/login/{path}", json={"code": "nonsense"}, headers=handle), 401, "code_refused")
    answer = await given.client.post("/v1/login/recovery-code", json={"code": person.recovery[0]}, headers=handle)
    problem(answer, 401, "login_over")
