"""Logging in by a short code: who may decide, how sure they must be, and what the application gets for it (RFC 8628, authentication R45, R66)."""

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
from tests.login.factors.authenticator import AGENT, DEVICE, INTERVAL, LIFETIME, Television
from tests.login.test_attempts import at
from tests.login.test_notices import letters
from tests.secrets.test_rest import everything


async def events(given: Given) -> list[tuple[str, str, UUID | None]]:
    """(type, actor, whose history) of what happened to devices."""
    async with given.world.db.query() as tx:
        rows = await tx.execute(select(Event).where(Event.type.startswith("device.")).order_by(Event.id))
        return [(row.type.removeprefix("device.authorization_"), row.actor_type, row.user_id) for row in rows]


async def stepped_up(given: Given, person: Person) -> None:
    """The same session with a code of the authenticator just shown."""
    login = await given.post("/v1/step-up", {}, person.auth)
    given.clock.forward(seconds=30)
    told = await given.post("/v1/login/totp", {"code": given.totp(person)}, {"Authorization": f"Login {login['login']['token']}"})
    person.token = told["access_token"]


async def test_rfc_8628_the_whole_way(given: Given) -> None:
    product = await given.product()
    person = await given.logged_in()
    tv = await Television.on(given, product=product["code"])
    code = tv.told["user_code"]
    base = given.world.settings.public_url
    assert tv.told["device_code"].startswith("dvc_")
    assert (tv.told["expires_in"], tv.told["interval"]) == (LIFETIME, INTERVAL)
    assert (tv.told["verification_uri"], tv.told["verification_uri_complete"]) == (
        f"{base}/v1/device",
        f"{base}/v1/device?user_code={code}",
    )
    waits = await tv.poll()
    assert problem(waits, 409, "authorization_pending")["interval"] == int(waits.headers["retry-after"]) == INTERVAL
    answer = await tv.opened(person)
    shown = given.expect(answer)
    assert shown["product"] == {"code": product["code"], "name": product["name"]}
    assert shown["device"] == {"name": "Living room", "platform": "tvOS", "app_version": None}
    assert (shown["ip"], shown["user_agent"], shown["wants"]) == ("127.0.0.1", AGENT["User-Agent"], "aal1")
    assert "tv-1" not in answer.text
    assert (await tv.decided(person)).status_code == 204
    answer = await tv.polled()
    told = given.expect(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert (told["status"], told["session"]["acr"], told["session"]["amr"]) == ("complete", "aal1", ["pwd"])
    auth = {"Authorization": f"Bearer {told['access_token']}"}
    mine = given.expect(await given.client.get("/v1/me/sessions", headers=auth))["data"]
    assert {row["id"]: (row["product"], row["user_agent"]) for row in mine}[told["session"]["id"]] == (product["code"], AGENT["User-Agent"])
    assert len(mine) == 2
    assert await letters(given, person) == ["new_login"]
    given.expect(await given.client.post("/v1/token/refresh", json={"refresh_token": told["refresh_token"]}))
    problem(await tv.polled(), 410, "expired_token")  # once
    whose = UUID(person.id)
    assert await events(given) == [("requested", "anonymous", None), ("approved", "user", whose)]


async def test_the_page_of_the_application_is_where_the_code_is_typed_in(given: Given, app: FastAPI) -> None:
    given.configured(app, pages_url="https://studio.example/account")
    told = (await Television.on(given)).told
    assert told["verification_uri"] == "https://studio.example/account/device"
    assert told["verification_uri_complete"] == f"https://studio.example/account/device?user_code={told['user_code']}"


@each(st.binary(max_size=64))
def test_r66_letters_are_drawn_evenly(octets: bytes) -> None:
    drawn = models.map_to_letters(octets)
    assert set(drawn) <= set("BCDFGHJKLMNPQRSTVWXZ")
    assert len(drawn) == sum(octet < 240 for octet in octets)
    evenly = models.map_to_letters(bytes(range(256)))
    assert {evenly.count(letter) for letter in LETTERS} == {12}


async def test_r54_r66_codes_are_long_and_kept_as_digests(given: Given) -> None:
    made = [(await Television.on(given)).told for _ in range(20)]
    codes = [told["user_code"] for told in made]
    assert len({*codes, *(told["device_code"] for told in made)}) == 40
    assert all(code[4] == "-" and len(code) == 9 and set(code) <= {*LETTERS, "-"} for code in codes)
    assert all(len(told["device_code"]) == len("dvc_") + 43 for told in made)
    stored = (await everything(given))["device_codes"]
    assert [told for told in made if told["device_code"] in stored or told["user_code"].replace("-", "") in stored.replace("-", "")] == []


@pytest.mark.parametrize("typed", ["{low}", " {code} ", "{bare}", "{spaced}", "{dashed}"])
async def test_r66_case_dashes_and_spaces_are_forgiven(given: Given, typed: str) -> None:
    person, tv = await given.logged_in(), await Television.on(given)
    code = tv.told["user_code"]
    text = typed.format(
        code=code, low=code.lower(), bare=code.replace("-", ""), spaced=" ".join(code.replace("-", "")), dashed=code.replace("-", "–")
    )
    given.expect(await given.client.get("/v1/device", params={"user_code": text}, headers=person.auth))
    assert (await given.client.post("/v1/device/approve", json={"user_code": text}, headers=person.auth)).status_code == 204


async def test_r66_only_the_session_that_opened_it_may_decide(given: Given, app: FastAPI) -> None:
    """Not another user's, and not another session of the same user (CVE-2026-45337)."""
    person, tv = await given.logged_in(), await Television.on(given)
    problem(await tv.decided(person), 404, "device_code_not_found")  # nobody has looked at it
    for _ in range(2):
        given.expect(await tv.opened(person))
    others = [await given.logged_in(), await given.logged_in(Person(person.id, person.email))]
    for other in others:
        hidden = await tv.opened(other)
        unknown = await given.client.get("/v1/device", params={"user_code": "BBBB-BBBB"}, headers=other.auth)
        assert problem(hidden, 404, "device_code_not_found") | {"request_id": ""} == unknown.json() | {"request_id": ""}
    async with at(app, "198.51.100.7") as elsewhere:
        for other in others:
            problem(await tv.decided(other, "approve", elsewhere), 404, "device_code_not_found")
            problem(await tv.decided(other, "deny", elsewhere), 404, "device_code_not_found")
    problem(await tv.polled(), 409, "authorization_pending")
    async with at(app, "198.51.100.8") as elsewhere:
        assert (await tv.decided(person, "approve", elsewhere)).status_code == 204


async def test_r66_the_first_decision_stands_and_may_be_sent_again(given: Given) -> None:
    person, tv, other = await given.logged_in(), await Television.on(given), await Television.on(given)
    given.expect(await tv.opened(person))
    for _ in range(2):
        assert (await tv.decided(person, "deny")).status_code == 204
    problem(await tv.decided(person), 409, "device_code_decided")
    problem(await tv.opened(person), 409, "device_code_decided")
    for _ in range(2):
        problem(await tv.polled(), 403, "access_denied")
    await other.approved(person)
    given.expect(await other.polled())
    assert (await other.decided(person)).status_code == 204  # the answer of before may have been lost
    problem(await other.decided(person, "deny"), 409, "device_code_decided")
    assert [told[0] for told in await events(given)] == ["requested", "requested", "denied", "approved"]


async def test_r66_ten_minutes(given: Given) -> None:
    person, tv, late = await given.logged_in(), await Television.on(given), await Television.on(given)
    await late.approved(person)
    given.clock.forward(minutes=10, milliseconds=-1)
    person = await given.logged_in(person)
    problem(await tv.poll(), 409, "authorization_pending")
    given.clock.forward(milliseconds=1)
    problem(await tv.poll(), 410, "expired_token")
    problem(await tv.opened(person), 404, "device_code_not_found")
    problem(await late.poll(), 410, "expired_token")


async def test_unknown_and_spent_answer_alike(given: Given) -> None:
    tv = await (await Television.on(given)).approved(await given.logged_in())
    given.expect(await tv.polled())
    spent = await tv.polled()
    unknown = await given.client.post("/v1/device/token", json={"device_code": f"dvc_{'A' * 43}"})
    assert problem(spent, 410, "expired_token") | {"request_id": ""} == problem(unknown, 410, "expired_token") | {"request_id": ""}


async def test_an_unknown_product_is_refused(given: Given) -> None:
    problem(await given.client.post("/v1/device/code", json={"product": "nothing"}), 404, "product_not_found")


@pytest.mark.parametrize("requires", [["login"], ["second_factor"]])
async def test_r66_no_way_round_the_second_factor(given: Given, requires: list[str]) -> None:
    """An account that has one shows it, whatever the product asks for; after the step-up the same session goes on."""
    product = await given.product(requires=requires)
    person = await given.with_totp()
    tv = await Television.on(given, product=product["code"])
    assert given.expect(await tv.opened(person))["wants"] == "aal2"
    answer = await tv.decided(person)
    assert problem(answer, 401, "step_up_required")["acr_values"] == "aal2"
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_user_authentication", acr_values="aal2"'
    problem(await tv.polled(), 409, "authorization_pending")
    await stepped_up(given, person)
    assert (await tv.decided(person)).status_code == 204
    told = given.expect(await tv.polled())
    assert (told["session"]["acr"], told["session"]["amr"]) == ("aal2", ["pwd", "otp", "mfa"])


@pytest.mark.parametrize("by", ["product", "installation"])
async def test_r66_who_has_no_second_factor_sets_one_up_first(given: Given, app: FastAPI, by: str) -> None:
    product = await given.product(requires=["second_factor"] if by == "product" else ["login"])
    person = await given.logged_in()
    if by == "installation":
        given.configured(app, mfa="required")
    tv = await Television.on(given, product=product["code"])
    assert given.expect(await tv.opened(person))["wants"] == "aal2"
    problem(await tv.decided(person), 409, "second_factor_missing")
    assert (await tv.decided(person, "deny")).status_code == 204  # that much everybody may


async def test_r28_a_recovery_code_lets_no_device_in(given: Given) -> None:
    person, tv = await given.with_totp(), await Television.on(given)
    told = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, await given.begin(person))
    person.token = told["access_token"]
    assert told["session"]["acr"] == "aal2"
    given.expect(await tv.opened(person))
    problem(await tv.decided(person), 401, "step_up_required")
    await stepped_up(given, person)
    assert (await tv.decided(person)).status_code == 204


async def test_r78_an_unproven_address_lets_no_device_in(given: Given) -> None:
    person, tv = await given.logged_in(), await Television.on(given)
    given.expect(await tv.opened(person))
    async with given.world.db.write() as tx:
        await tx.execute(update(User).where(User.id == UUID(person.id)).values(email_verified_at=None))
    problem(await tv.decided(person), 403, "email_not_verified")


async def test_r56_the_level_decays_from_when_it_was_proven(given: Given) -> None:
    """The television's day is over when its approver's is; and it is no way to a session that lasts for ever."""
    person = await given.strong()
    shown = given.clock.now()
    given.clock.forward(hours=23, minutes=59)
    person.token = (await given.post("/v1/token/refresh", {"refresh_token": person.refresh}, {}))["access_token"]
    tv = await (await Television.on(given)).approved(person)
    told = given.expect(await tv.polled())
    assert told["session"]["acr"] == "aal2"
    async with given.world.db.query() as tx:
        row = (await tx.execute(select(SessionRow).where(SessionRow.id == UUID(told["session"]["id"])))).one()
    assert (row.password_at, row.second_factor_at, row.expires_at) == (shown, shown, shown + given.world.settings.session_lifetime)
    given.clock.forward(minutes=1)
    auth = {"Authorization": f"Bearer {told['access_token']}"}
    assert given.expect(await given.client.get("/v1/me", headers=auth))["session"]["acr"] == "aal1"
    problem(await (late := await Television.on(given)).decided(person), 404, "device_code_not_found")
    given.expect(await late.opened(person))
    problem(await late.decided(person), 401, "step_up_required")


async def test_r45_a_locked_factor_lets_no_device_in(given: Given) -> None:
    """Ten wrong codes: the session lives on (authentication R44), but what it showed vouches for nothing new until the wait is over."""
    person, tv = await given.strong(), await Television.on(given)
    given.expect(await tv.opened(person))
    for _ in range(2):
        handle = await given.begin(Person(person.id, person.email))
        for _ in range(5):
            problem(await given.client.post("/v1/login/totp", json={"code": "000000"}, headers=handle), 401, "code_refused")
    given.expect(await given.client.get("/v1/me", headers=person.auth))
    answer = await tv.decided(person)
    problem(answer, 429, "too_many_attempts")
    assert answer.headers["retry-after"] == "900"
    problem(await tv.polled(), 409, "authorization_pending")
    given.clock.forward(minutes=15)
    person.token = (await given.post("/v1/token/refresh", {"refresh_token": person.refresh}, {}))["access_token"]
    tv = await Television.on(given)
    await tv.approved(person)


async def revoked(given: Given, person: Person) -> None:
    given.expect(await given.client.post("/v1/logout", headers=person.auth))


async def suspended(given: Given, person: Person) -> None:
    await given.post(f"/v1/users/{person.id}/suspend")


async def restored(given: Given, person: Person) -> None:
    await suspended(given, person)
    await given.post(f"/v1/users/{person.id}/restore")


async def password_changed(given: Given, person: Person) -> None:
    """The approving session itself lives on; what it approved before does not."""
    body = {"current": person.password, "new": "a wholly different staple"}
    given.expect(await given.client.post("/v1/me/password", json=body, headers=person.auth))
    given.expect(await given.client.get("/v1/me", headers=person.auth))


async def factors_reset(given: Given, person: Person) -> None:
    await given.post(f"/v1/users/{person.id}/reset-factors")


@pytest.mark.parametrize("end", [revoked, suspended, restored, password_changed, factors_reset], ids=lambda end: end.__name__)
async def test_r59_what_ends_a_session_ends_what_it_approved(given: Given, end: Any) -> None:
    person = await given.logged_in()
    tv = await (await Television.on(given)).approved(person)
    await end(given, person)
    for _ in range(2):
        problem(await tv.polled(), 403, "access_denied")


async def test_r59_nothing_is_approved_by_a_session_that_is_over(given: Given) -> None:
    person, tv = await given.logged_in(), await Television.on(given)
    given.expect(await tv.opened(person))
    await revoked(given, person)
    for decision in ("approve", "deny"):
        problem(await tv.decided(person, decision), 401, "token_invalid")


async def test_an_erased_user_leaves_no_request_behind(given: Given) -> None:
    person = await given.logged_in()
    tv = await (await Television.on(given)).approved(person)
    given.expect(await given.client.post(f"/v1/users/{person.id}/erase", headers=given.root))
    problem(await tv.polled(), 410, "expired_token")


async def test_r66_a_poll_that_comes_too_soon_slows_the_next_ones(given: Given) -> None:
    """Five seconds more each time, for all that follow; a poll that waited is none the worse (RFC 8628 section 3.5)."""
    tv = await Television.on(given)
    problem(await tv.poll(), 409, "authorization_pending")
    given.clock.forward(seconds=4.999)
    slowed = await tv.poll()
    assert problem(slowed, 429, "slow_down")["interval"] == int(slowed.headers["retry-after"]) == 10
    given.clock.forward(seconds=9.999)
    assert problem(await tv.poll(), 429, "slow_down")["interval"] == 15
    for _ in range(2):
        given.clock.forward(seconds=15)
        waits = await tv.poll()
        assert problem(waits, 409, "authorization_pending")["interval"] == int(waits.headers["retry-after"]) == 15


async def wrong(given: Given, client: Any, person: Person, times: int) -> None:
    for _ in range(times):
        problem(await client.get("/v1/device", params={"user_code": "BBBB-BBBB"}, headers=person.auth), 404, "device_code_not_found")


async def test_r66_five_wrong_user_codes_of_one_address(given: Given, app: FastAPI) -> None:
    """Counted before they are looked at, over all three calls; right ones cost nothing, and a right one clears no wrong ones."""
    person, tv = await given.logged_in(), await Television.on(given)
    for _ in range(6):
        given.expect(await tv.opened(person))
    await wrong(given, given.client, person, 3)
    given.expect(await tv.opened(person))
    for decision in ("approve", "deny"):
        body = {"user_code": "no code at all"}
        problem(await given.client.post(f"/v1/device/{decision}", json=body, headers=person.auth), 404, "device_code_not_found")
    for answer in (await tv.opened(person), await tv.decided(person)):
        problem(answer, 429, "too_many_attempts")
        assert answer.headers["retry-after"] == "600"
    async with at(app, "198.51.100.7") as elsewhere:
        given.expect(await tv.opened(person, elsewhere))
    given.clock.forward(minutes=9, seconds=59)
    problem(await tv.opened(person), 429, "too_many_attempts")
    given.clock.forward(seconds=1)
    person = await given.logged_in(person)
    given.expect(await (await Television.on(given)).opened(person))


async def test_r40_r46_an_ipv6_network_is_one_address(given: Given, app: FastAPI) -> None:
    person, tv = await given.logged_in(), await Television.on(given)
    async with at(app, "2001:db8:1:2::3") as one, at(app, "2001:db8:1:2:ffff::4") as twin, at(app, "2001:db8:1:3::3") as neighbour:
        await wrong(given, one, person, 5)
        problem(await tv.opened(person, twin), 429, "too_many_attempts")
        given.expect(await tv.opened(person, neighbour))


async def test_an_address_cannot_fill_the_table(given: Given, app: FastAPI) -> None:
    for _ in range(30):
        await Television.on(given)
    problem(await given.client.post("/v1/device/code", json={}), 429, "too_many_attempts")
    async with at(app, "198.51.100.7") as elsewhere:
        await Television.on(given, elsewhere)
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(DeviceCode)) == 31
    given.clock.forward(minutes=10)
    await Television.on(given)


async def test_an_idempotency_key_gives_nobody_another_ones_request(given: Given) -> None:
    """Nothing tells two applications apart that ask to be let in, so they share no answer."""
    same = {"Idempotency-Key": "1", **AGENT}
    made = [given.expect(await given.client.post("/v1/device/code", json={}, headers=same)) for _ in range(2)]
    assert made[0]["device_code"] != made[1]["device_code"]


async def test_an_idempotency_key_brings_a_lost_session_back_and_keeps_no_wait(given: Given) -> None:
    person, tv, other = await given.logged_in(), await Television.on(given), await Television.on(given)
    key = "1"
    problem(await tv.poll(key), 409, "authorization_pending")
    problem(await other.poll(key), 409, "authorization_pending")
    problem(await tv.poll(key), 429, "slow_down")
    await tv.approved(person)
    given.clock.forward(seconds=10)
    first = given.expect(await tv.poll(key))
    assert given.expect(await tv.poll(key)) == first
    problem(await other.poll(key), 409, "authorization_pending")


async def test_a_request_without_a_device_is_shown_as_such(given: Given) -> None:
    made = given.expect(await given.client.post("/v1/device/code", json={}))
    shown = given.expect(await Television(given, made).opened(await given.logged_in()))
    assert (shown["product"], shown["device"]) == (None, None)
    answer = await given.client.post("/v1/device/code", json={"device": DEVICE, "who": "me"})
    problem(answer, 422, "malformed")
