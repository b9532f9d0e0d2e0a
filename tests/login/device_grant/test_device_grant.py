"""Device grant: who may decide, at which level, and what the application gets (RFC 8628, authentication R45, R66)."""

from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from hypothesis import given as each
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from app.events.models import Event
from app.login.device_grant import models
from app.login.device_grant.models import LETTERS, DeviceCode
from app.login.models import SessionRow
from app.users.models import User
from tests.assertions import problem
from tests.given import Given, Person
from tests.login.clients import create_client_at
from tests.login.device_grant.television import AGENT, DEVICE, INTERVAL, LIFETIME, Television
from tests.login.mail_queries import list_mail_templates
from tests.secrets.stored import read_all_tables


async def list_device_events(given: Given) -> list[tuple[str, str, UUID | None]]:
    """List (type, actor type, user) of the device events, oldest first."""
    async with given.world.db.query() as tx:
        rows = await tx.execute(select(Event).where(Event.type.startswith("device.")).order_by(Event.id))
        return [(row.type.removeprefix("device.authorization_"), row.actor_type, row.user_id) for row in rows]


async def step_up(given: Given, person: Person) -> None:
    """Raise the person's session with an authenticator code."""
    login = await given.post("/v1/step-up", {}, person.auth)
    given.clock.forward(seconds=30)
    body = await given.post("/v1/login/totp", {"code": given.totp(person)}, {"Authorization": f"Login {login['login']['token']}"})
    person.token = body["access_token"]


async def test_rfc_8628_request_approve_and_poll(given: Given) -> None:
    product = await given.product()
    person = await given.logged_in()
    tv = await Television.on(given, product=product["code"])
    code = tv.authorization["user_code"]
    base = given.world.settings.public_url
    assert tv.authorization["device_code"].startswith("dvc_")
    assert (tv.authorization["expires_in"], tv.authorization["interval"]) == (LIFETIME, INTERVAL)
    assert (tv.authorization["verification_uri"], tv.authorization["verification_uri_complete"]) == (
        f"{base}/v1/device",
        f"{base}/v1/device?user_code={code}",
    )
    pending = await tv.poll()
    assert problem(pending, 409, "authorization_pending")["interval"] == int(pending.headers["retry-after"]) == INTERVAL
    answer = await tv.open(person)
    details = given.expect(answer)
    assert details["product"] == {"code": product["code"], "name": product["name"]}
    assert details["device"] == {"name": "Television", "platform": "tvOS", "app_version": None}
    assert (details["ip"], details["user_agent"], details["wants"]) == ("127.0.0.1", AGENT["User-Agent"], "aal1")
    assert "tv-1" not in answer.text
    assert (await tv.decide(person)).status_code == 204
    answer = await tv.poll_on_time()
    body = given.expect(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert (body["status"], body["session"]["acr"], body["session"]["amr"]) == ("complete", "aal1", ["pwd"])
    auth = {"Authorization": f"Bearer {body['access_token']}"}
    sessions = given.expect(await given.client.get("/v1/me/sessions", headers=auth))["data"]
    assert {row["id"]: (row["product"], row["user_agent"]) for row in sessions}[body["session"]["id"]] == (
        product["code"],
        AGENT["User-Agent"],
    )
    assert len(sessions) == 2
    assert await list_mail_templates(given, person) == ["new_login"]
    given.expect(await given.client.post("/v1/token/refresh", json={"refresh_token": body["refresh_token"]}))
    problem(await tv.poll_on_time(), 410, "expired_token")  # works once
    user_id = UUID(person.id)
    assert await list_device_events(given) == [("requested", "anonymous", None), ("approved", "user", user_id)]


async def test_the_verification_uri_is_the_page_of_the_application(given: Given, app: FastAPI) -> None:
    given.configured(app, pages_url="https://studio.example/account")
    authorization = (await Television.on(given)).authorization
    assert authorization["verification_uri"] == "https://studio.example/account/device"
    assert authorization["verification_uri_complete"] == f"https://studio.example/account/device?user_code={authorization['user_code']}"


@each(st.binary(max_size=64))
def test_r66_letters_are_evenly_distributed(random_bytes: bytes) -> None:
    letters = models.map_to_letters(random_bytes)
    assert set(letters) <= set("BCDFGHJKLMNPQRSTVWXZ")
    assert len(letters) == sum(byte < 240 for byte in random_bytes)
    all_letters = models.map_to_letters(bytes(range(256)))
    assert {all_letters.count(letter) for letter in LETTERS} == {12}


async def test_r54_r66_codes_are_long_and_stored_as_digests(given: Given) -> None:
    created = [(await Television.on(given)).authorization for _ in range(20)]
    codes = [authorization["user_code"] for authorization in created]
    assert len({*codes, *(authorization["device_code"] for authorization in created)}) == 40
    assert all(code[4] == "-" and len(code) == 9 and set(code) <= {*LETTERS, "-"} for code in codes)
    assert all(len(authorization["device_code"]) == len("dvc_") + 43 for authorization in created)
    stored = (await read_all_tables(given))["device_codes"]
    assert [
        authorization
        for authorization in created
        if authorization["device_code"] in stored or authorization["user_code"].replace("-", "") in stored.replace("-", "")
    ] == []


@pytest.mark.parametrize("typed", ["{low}", " {code} ", "{bare}", "{spaced}", "{dashed}"])
async def test_r66_case_dashes_and_spaces_of_a_user_code_do_not_matter(given: Given, typed: str) -> None:
    person, tv = await given.logged_in(), await Television.on(given)
    code = tv.authorization["user_code"]
    text = typed.format(
        code=code, low=code.lower(), bare=code.replace("-", ""), spaced=" ".join(code.replace("-", "")), dashed=code.replace("-", "–")
    )
    given.expect(await given.client.get("/v1/device", params={"user_code": text}, headers=person.auth))
    assert (await given.client.post("/v1/device/approve", json={"user_code": text}, headers=person.auth)).status_code == 204


async def test_r66_only_the_session_that_opened_a_request_may_decide(given: Given, app: FastAPI) -> None:
    """Neither another user nor another session of the same user may (CVE-2026-45337)."""
    person, tv = await given.logged_in(), await Television.on(given)
    problem(await tv.decide(person), 404, "device_code_not_found")  # no session has opened it yet
    for _ in range(2):
        given.expect(await tv.open(person))
    others = [await given.logged_in(), await given.logged_in(Person(person.id, person.email))]
    for other in others:
        hidden = await tv.open(other)
        unknown = await given.client.get("/v1/device", params={"user_code": "BBBB-BBBB"}, headers=other.auth)
        assert problem(hidden, 404, "device_code_not_found") | {"request_id": ""} == unknown.json() | {"request_id": ""}
    async with create_client_at(app, "198.51.100.7") as elsewhere:
        for other in others:
            problem(await tv.decide(other, "approve", elsewhere), 404, "device_code_not_found")
            problem(await tv.decide(other, "deny", elsewhere), 404, "device_code_not_found")
    problem(await tv.poll_on_time(), 409, "authorization_pending")
    async with create_client_at(app, "198.51.100.8") as elsewhere:
        assert (await tv.decide(person, "approve", elsewhere)).status_code == 204


async def test_r66_the_first_decision_is_final_and_may_be_repeated(given: Given) -> None:
    person, tv, other = await given.logged_in(), await Television.on(given), await Television.on(given)
    given.expect(await tv.open(person))
    for _ in range(2):
        assert (await tv.decide(person, "deny")).status_code == 204
    problem(await tv.decide(person), 409, "device_code_decided")
    problem(await tv.open(person), 409, "device_code_decided")
    for _ in range(2):
        problem(await tv.poll_on_time(), 403, "access_denied")
    await other.approve(person)
    given.expect(await other.poll_on_time())
    assert (await other.decide(person)).status_code == 204  # the earlier response may have been lost
    problem(await other.decide(person, "deny"), 409, "device_code_decided")
    assert [event[0] for event in await list_device_events(given)] == ["requested", "requested", "denied", "approved"]


async def test_r66_a_request_expires_after_ten_minutes(given: Given) -> None:
    person, tv, late = await given.logged_in(), await Television.on(given), await Television.on(given)
    await late.approve(person)
    given.clock.forward(minutes=10, milliseconds=-1)
    person = await given.logged_in(person)
    problem(await tv.poll(), 409, "authorization_pending")
    given.clock.forward(milliseconds=1)
    problem(await tv.poll(), 410, "expired_token")
    problem(await tv.open(person), 404, "device_code_not_found")
    problem(await late.poll(), 410, "expired_token")


async def test_unknown_and_spent_device_codes_get_the_same_response(given: Given) -> None:
    tv = await (await Television.on(given)).approve(await given.logged_in())
    given.expect(await tv.poll_on_time())
    spent = await tv.poll_on_time()
    unknown = await given.client.post("/v1/device/token", json={"device_code": f"dvc_{'A' * 43}"})
    assert problem(spent, 410, "expired_token") | {"request_id": ""} == problem(unknown, 410, "expired_token") | {"request_id": ""}


async def test_an_unknown_product_is_refused(given: Given) -> None:
    problem(await given.client.post("/v1/device/code", json={"product": "nothing"}), 404, "product_not_found")


@pytest.mark.parametrize("requires", [["login"], ["second_factor"]])
async def test_r66_an_account_with_a_second_factor_needs_it_to_approve(given: Given, requires: list[str]) -> None:
    """It is needed for every product; after a step-up the same session can approve."""
    product = await given.product(requires=requires)
    person = await given.with_totp()
    tv = await Television.on(given, product=product["code"])
    assert given.expect(await tv.open(person))["wants"] == "aal2"
    answer = await tv.decide(person)
    assert problem(answer, 401, "step_up_required")["acr_values"] == "aal2"
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_user_authentication", acr_values="aal2"'
    problem(await tv.poll_on_time(), 409, "authorization_pending")
    await step_up(given, person)
    assert (await tv.decide(person)).status_code == 204
    body = given.expect(await tv.poll_on_time())
    assert (body["session"]["acr"], body["session"]["amr"]) == ("aal2", ["pwd", "otp", "mfa"])


@pytest.mark.parametrize("required_by", ["product", "installation"])
async def test_r66_a_required_second_factor_must_be_set_up_before_approving(given: Given, app: FastAPI, required_by: str) -> None:
    product = await given.product(requires=["second_factor"] if required_by == "product" else ["login"])
    person = await given.logged_in()
    if required_by == "installation":
        given.configured(app, mfa="required")
    tv = await Television.on(given, product=product["code"])
    assert given.expect(await tv.open(person))["wants"] == "aal2"
    problem(await tv.decide(person), 409, "second_factor_missing")
    assert (await tv.decide(person, "deny")).status_code == 204  # denying needs no level


async def test_r28_a_session_by_recovery_code_cannot_approve(given: Given) -> None:
    person, tv = await given.with_totp(), await Television.on(given)
    tokens = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, await given.begin(person))
    person.token = tokens["access_token"]
    assert tokens["session"]["acr"] == "aal2"
    given.expect(await tv.open(person))
    problem(await tv.decide(person), 401, "step_up_required")
    await step_up(given, person)
    assert (await tv.decide(person)).status_code == 204


async def test_r78_an_account_with_unverified_address_cannot_approve(given: Given) -> None:
    person, tv = await given.logged_in(), await Television.on(given)
    given.expect(await tv.open(person))
    async with given.world.db.write() as tx:
        await tx.execute(update(User).where(User.id == UUID(person.id)).values(email_verified_at=None))
    problem(await tv.decide(person), 403, "email_not_verified")


async def test_r56_the_level_expires_from_the_time_of_the_original_proof(given: Given) -> None:
    """The new session loses its level with the approving session and does not extend the session lifetime."""
    person = await given.strong()
    proven_at = given.clock.now()
    given.clock.forward(hours=23, minutes=59)
    person.token = (await given.post("/v1/token/refresh", {"refresh_token": person.refresh}, {}))["access_token"]
    tv = await (await Television.on(given)).approve(person)
    tokens = given.expect(await tv.poll_on_time())
    assert tokens["session"]["acr"] == "aal2"
    async with given.world.db.query() as tx:
        row = (await tx.execute(select(SessionRow).where(SessionRow.id == UUID(tokens["session"]["id"])))).one()
    assert (row.password_at, row.second_factor_at, row.expires_at) == (
        proven_at,
        proven_at,
        proven_at + given.world.settings.session_lifetime,
    )
    given.clock.forward(minutes=1)
    auth = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert given.expect(await given.client.get("/v1/me", headers=auth))["session"]["acr"] == "aal1"
    problem(await (late := await Television.on(given)).decide(person), 404, "device_code_not_found")
    given.expect(await late.open(person))
    problem(await late.decide(person), 401, "step_up_required")


async def test_r45_a_session_with_a_locked_factor_cannot_approve(given: Given) -> None:
    """After ten wrong codes the session continues (authentication R44), but it cannot approve until the lock ends."""
    person, tv = await given.strong(), await Television.on(given)
    given.expect(await tv.open(person))
    for _ in range(2):
        handle = await given.begin(Person(person.id, person.email))
        for _ in range(5):
            problem(await given.client.post("/v1/login/totp", json={"code": "000000"}, headers=handle), 401, "code_refused")
    given.expect(await given.client.get("/v1/me", headers=person.auth))
    answer = await tv.decide(person)
    problem(answer, 429, "too_many_attempts")
    assert answer.headers["retry-after"] == "900"
    problem(await tv.poll_on_time(), 409, "authorization_pending")
    given.clock.forward(minutes=15)
    person.token = (await given.post("/v1/token/refresh", {"refresh_token": person.refresh}, {}))["access_token"]
    tv = await Television.on(given)
    await tv.approve(person)


async def log_out(given: Given, person: Person) -> None:
    given.expect(await given.client.post("/v1/logout", headers=person.auth))


async def suspend(given: Given, person: Person) -> None:
    await given.post(f"/v1/users/{person.id}/suspend")


async def suspend_and_restore(given: Given, person: Person) -> None:
    await suspend(given, person)
    await given.post(f"/v1/users/{person.id}/restore")


async def change_password(given: Given, person: Person) -> None:
    """Change the password; the approving session continues, its earlier approval does not."""
    body = {"current": person.password, "new": "a wholly different staple"}
    given.expect(await given.client.post("/v1/me/password", json=body, headers=person.auth))
    given.expect(await given.client.get("/v1/me", headers=person.auth))


async def reset_factors(given: Given, person: Person) -> None:
    await given.post(f"/v1/users/{person.id}/reset-factors")


@pytest.mark.parametrize("end", [log_out, suspend, suspend_and_restore, change_password, reset_factors], ids=lambda end: end.__name__)
async def test_r59_events_that_end_a_session_also_end_its_approvals(given: Given, end: Any) -> None:
    person = await given.logged_in()
    tv = await (await Television.on(given)).approve(person)
    await end(given, person)
    for _ in range(2):
        problem(await tv.poll_on_time(), 403, "access_denied")


async def test_r59_an_ended_session_cannot_decide(given: Given) -> None:
    person, tv = await given.logged_in(), await Television.on(given)
    given.expect(await tv.open(person))
    await log_out(given, person)
    for decision in ("approve", "deny"):
        problem(await tv.decide(person, decision), 401, "token_invalid")


async def test_erasing_a_user_deletes_their_requests(given: Given) -> None:
    person = await given.logged_in()
    tv = await (await Television.on(given)).approve(person)
    given.expect(await given.client.post(f"/v1/users/{person.id}/erase", headers=given.root))
    problem(await tv.poll_on_time(), 410, "expired_token")


async def test_r66_an_early_poll_increases_the_interval(given: Given) -> None:
    """The interval grows by five seconds each time and stays; polls on time do not change it (RFC 8628 section 3.5)."""
    tv = await Television.on(given)
    problem(await tv.poll(), 409, "authorization_pending")
    given.clock.forward(seconds=4.999)
    early = await tv.poll()
    assert problem(early, 429, "slow_down")["interval"] == int(early.headers["retry-after"]) == 10
    given.clock.forward(seconds=9.999)
    assert problem(await tv.poll(), 429, "slow_down")["interval"] == 15
    for _ in range(2):
        given.clock.forward(seconds=15)
        pending = await tv.poll()
        assert problem(pending, 409, "authorization_pending")["interval"] == int(pending.headers["retry-after"]) == 15


async def try_wrong_codes(given: Given, client: Any, person: Person, times: int) -> None:
    for _ in range(times):
        problem(await client.get("/v1/device", params={"user_code": "BBBB-BBBB"}, headers=person.auth), 404, "device_code_not_found")


async def test_r66_an_address_may_send_five_wrong_user_codes(given: Given, app: FastAPI) -> None:
    """Attempts count before the lookup, over all three calls; right codes are refunded but do not reset the count."""
    person, tv = await given.logged_in(), await Television.on(given)
    for _ in range(6):
        given.expect(await tv.open(person))
    await try_wrong_codes(given, given.client, person, 3)
    given.expect(await tv.open(person))
    for decision in ("approve", "deny"):
        body = {"user_code": "no code at all"}
        problem(await given.client.post(f"/v1/device/{decision}", json=body, headers=person.auth), 404, "device_code_not_found")
    for answer in (await tv.open(person), await tv.decide(person)):
        problem(answer, 429, "too_many_attempts")
        assert answer.headers["retry-after"] == "600"
    async with create_client_at(app, "198.51.100.7") as elsewhere:
        given.expect(await tv.open(person, elsewhere))
    given.clock.forward(minutes=9, seconds=59)
    problem(await tv.open(person), 429, "too_many_attempts")
    given.clock.forward(seconds=1)
    person = await given.logged_in(person)
    given.expect(await (await Television.on(given)).open(person))


async def test_r40_r46_an_ipv6_network_counts_as_one_address(given: Given, app: FastAPI) -> None:
    person, tv = await given.logged_in(), await Television.on(given)
    async with (
        create_client_at(app, "2001:db8:1:2::3") as first,
        create_client_at(app, "2001:db8:1:2:ffff::4") as same_network,
        create_client_at(app, "2001:db8:1:3::3") as other_network,
    ):
        await try_wrong_codes(given, first, person, 5)
        problem(await tv.open(person, same_network), 429, "too_many_attempts")
        given.expect(await tv.open(person, other_network))


async def test_requests_per_address_are_limited(given: Given, app: FastAPI) -> None:
    for _ in range(30):
        await Television.on(given)
    problem(await given.client.post("/v1/device/code", json={}), 429, "too_many_attempts")
    async with create_client_at(app, "198.51.100.7") as elsewhere:
        await Television.on(given, elsewhere)
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(DeviceCode)) == 31
    given.clock.forward(minutes=10)
    await Television.on(given)


async def test_requests_with_the_same_idempotency_key_are_separate(given: Given) -> None:
    """Applications cannot be distinguished here, so they must not share a response."""
    same = {"Idempotency-Key": "1", **AGENT}
    created = [given.expect(await given.client.post("/v1/device/code", json={}, headers=same)) for _ in range(2)]
    assert created[0]["device_code"] != created[1]["device_code"]


async def test_an_idempotency_key_replays_a_session_but_no_pending_response(given: Given) -> None:
    person, tv, other = await given.logged_in(), await Television.on(given), await Television.on(given)
    key = "1"
    problem(await tv.poll(key), 409, "authorization_pending")
    problem(await other.poll(key), 409, "authorization_pending")
    problem(await tv.poll(key), 429, "slow_down")
    await tv.approve(person)
    given.clock.forward(seconds=10)
    first = given.expect(await tv.poll(key))
    assert given.expect(await tv.poll(key)) == first
    problem(await other.poll(key), 409, "authorization_pending")


async def test_a_request_without_device_and_product_has_null_for_both(given: Given) -> None:
    created = given.expect(await given.client.post("/v1/device/code", json={}))
    details = given.expect(await Television(given, created).open(await given.logged_in()))
    assert (details["product"], details["device"]) == (None, None)
    answer = await given.client.post("/v1/device/code", json={"device": DEVICE, "unknown": "member"})
    problem(answer, 422, "malformed")
