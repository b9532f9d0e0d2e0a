"""Tests of enrolling an authenticator app, and of spending each code once."""

import base64
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import select

from app.login.models import Factor
from tests.assertions import problem
from tests.given import Given


async def test_an_enrolment_returns_what_an_authenticator_app_needs(given: Given) -> None:
    person = await given.logged_in()
    enrolment = await given.post("/v1/me/totp", {"name": "phone"}, person.auth)
    query = parse_qs(urlsplit(enrolment["otpauth_uri"]).query)
    assert query == {"secret": [enrolment["secret"]], "issuer": ["Licentia"]}
    assert len(base64.b32decode(enrolment["secret"])) == 20
    assert enrolment["qr_svg"].startswith("<svg")
    assert enrolment["expires_at"] == "2026-11-22T12:15:00.000Z"


async def test_r20_a_pending_authenticator_is_not_required_at_login(given: Given) -> None:
    person = await given.logged_in()
    await given.post("/v1/me/totp", {}, person.auth)
    assert (await given.post("/v1/login", {"identifier": person.email, "password": person.password}, {}))["session"]["acr"] == "aal1"


async def test_r19_confirming_spends_the_code(given: Given) -> None:
    person = await given.logged_in()
    enrolment = await given.post("/v1/me/totp", {}, person.auth)
    person.secret = enrolment["secret"]
    code = given.totp(person)
    await given.post(f"/v1/me/totp/{enrolment['id']}/confirm", {"code": code}, person.auth)
    body = {"identifier": person.email, "password": person.password, "totp": code}
    problem(await given.client.post("/v1/login", json=body), 401, "code_refused")
    given.clock.forward(seconds=30)
    assert (await given.client.post("/v1/login", json={**body, "totp": given.totp(person)})).status_code == 200


async def test_r15_a_code_works_once_and_no_earlier_code_afterwards(given: Given) -> None:
    person = await given.with_totp()
    ahead = given.totp(person, given.clock.now().replace(second=30))
    now = given.totp(person)
    body = {"identifier": person.email, "password": person.password}
    assert (await given.client.post("/v1/login", json={**body, "totp": ahead})).status_code == 200
    problem(await given.client.post("/v1/login", json={**body, "totp": ahead}), 401, "code_refused")
    problem(await given.client.post("/v1/login", json={**body, "totp": now}), 401, "code_refused")


async def test_an_enrolment_ends_by_time_by_wrong_codes_and_by_a_newer_one(given: Given) -> None:
    person = await given.logged_in()
    first = await given.post("/v1/me/totp", {}, person.auth)
    second = await given.post("/v1/me/totp", {}, person.auth)
    person.secret = first["secret"]
    path = "/v1/me/totp/{}/confirm"
    code = {"code": given.totp(person)}
    problem(await given.client.post(path.format(first["id"]), json=code, headers=person.auth), 404, "enrolment_not_found")
    for _ in range(5):
        answer = await given.client.post(path.format(second["id"]), json={"code": "000000"}, headers=person.auth)
        problem(answer, 401, "code_refused")
    person.secret = second["secret"]
    code = {"code": given.totp(person)}
    problem(await given.client.post(path.format(second["id"]), json=code, headers=person.auth), 404, "enrolment_not_found")
    third = await given.post("/v1/me/totp", {}, person.auth)
    person.secret = third["secret"]
    given.clock.forward(minutes=15)
    person.secret, secret = None, person.secret
    await given.logged_in(person)
    person.secret = secret
    answer = await given.client.post(path.format(third["id"]), json={"code": given.totp(person)}, headers=person.auth)
    problem(answer, 404, "enrolment_not_found")


async def test_only_the_owner_confirms_an_enrolment(given: Given) -> None:
    person, other = await given.logged_in(), await given.logged_in()
    enrolment = await given.post("/v1/me/totp", {}, person.auth)
    person.secret = enrolment["secret"]
    answer = await given.client.post(f"/v1/me/totp/{enrolment['id']}/confirm", json={"code": given.totp(person)}, headers=other.auth)
    problem(answer, 404, "enrolment_not_found")


async def test_r21_adding_a_factor_requires_a_recent_proof(given: Given) -> None:
    person = await given.logged_in()
    given.clock.forward(minutes=5, milliseconds=1)
    answer = await given.client.post("/v1/me/totp", headers=person.auth)
    problem(answer, 401, "step_up_required")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_user_authentication", acr_values="aal1", max_age="300"'
    strong = await given.with_totp()
    answer = await given.client.post("/v1/me/totp", headers=strong.auth)
    assert 'acr_values="aal2"' in answer.headers["www-authenticate"]
    assert (await given.client.post("/v1/me/totp", headers=(await given.logged_in(strong)).auth)).status_code == 201


async def test_r78_a_factor_requires_a_verified_address(given: Given) -> None:
    person = await given.logged_in()
    given.expect(await given.client.patch(f"/v1/users/{person.id}", json={"email_verified": False}, headers=given.root))
    problem(await given.client.post("/v1/me/totp", headers=person.auth), 403, "email_not_verified")


async def test_r23_the_secret_is_stored_encrypted(given: Given) -> None:
    person = await given.with_totp()
    async with given.world.db.query() as tx:
        stored = await tx.scalar(select(Factor.secret_sealed).where(Factor.kind == "totp"))
    assert person.secret is not None
    assert person.secret not in str(stored)
    assert str(stored).startswith("t1:")
