"""The clock is set back by an hour: the service continues, nothing is counted or allowed twice, and nothing is valid for longer."""

from datetime import timedelta
from typing import Any

import httpx

from app.login.sessions.refresh import GRACE_PERIOD
from app.signing_keys import rotation
from tests.agreements import making
from tests.assertions import problem
from tests.given import Given, Person

BACK = timedelta(hours=1)


def set_back(given: Given) -> None:
    given.clock.forward(seconds=-BACK.total_seconds())


async def refresh(given: Given, token: str | None) -> httpx.Response:
    return await given.client.post("/v1/token/refresh", json={"refresh_token": token})


async def test_an_end_user_continues_and_the_decision_is_unchanged(given: Given) -> None:
    """The token and the session are from the future; leases, meters and the ledger do not go backwards."""
    agreement = await making.create_in_force(given)
    meters = {"calls": {"limit": 2, "per": "day"}}
    terms = {"seat_by": "device", "max_seats": 1, "lease": "PT30M", "meters": meters, "requires": ["activation", "second_factor", "eula"]}
    license_ = await given.license(await given.policy({"code": agreement["product"]}, **terms))
    given.clock.forward(hours=2)
    person = await given.strong()
    first = await making.accept(given, person, agreement)
    activation = await given.activation(license_)
    add: dict[str, Any] = {"license_key": license_["key"], "meter": "calls", "add": 1}
    once = {"Idempotency-Key": "one"}
    given.expect(await given.client.post("/v1/usage", json=add, headers=once))
    set_back(given)
    request = {"license_key": license_["key"], "device": {"fingerprint": "laptop"}}
    result = await given.access(agreement["product"], person, **request)
    assert (result["allow"], result["session"]["acr"]) == (True, "aal2")
    assert result["grant"] is not None
    heartbeat = await given.post(
        f"/v1/activations/{activation['activation']['id']}/heartbeat", {}, {"Authorization": f"Bearer {activation['token']}"}
    )
    assert heartbeat["activation"]["lease_expires_at"] is not None
    other = {"license_key": license_["key"], "device": {"fingerprint": "phone"}}
    problem(await given.client.post("/v1/activations", json=other), 409, "seat_limit_reached")
    assert (await given.client.post("/v1/usage", json=add, headers=once)).headers["idempotency-replayed"] == "true"
    assert (await given.post("/v1/usage", add, {}))["remaining"] == 0
    problem(await given.client.post("/v1/usage", json=add), 409, "usage_limit_reached")
    await making.create_published(given, agreement)
    second = await making.accept(given, person, agreement)
    assert second["at"] >= first["at"]
    assert (await given.post("/v1/ledger/verify"))["valid"] is True


async def test_a_totp_code_works_once_and_a_recovery_code_still_works(given: Given) -> None:
    """Codes of the repeated hour may have been used: they are refused until the clock reaches its earlier time."""
    person = await given.strong()
    spent = given.totp(person)
    set_back(given)
    for code in (spent, given.totp(person)):
        body = {"identifier": person.email, "password": person.password, "totp": code}
        assert not (await given.client.post("/v1/login", json=body)).is_success
    handle = await given.begin(person)
    result = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, handle)
    assert result["session"]["acr"] == "aal2"
    given.clock.forward(seconds=BACK.total_seconds() + 30)
    assert (await given.logged_in(person)).token


async def test_a_password_proof_from_the_future_is_not_fresh(given: Given) -> None:
    person = await given.logged_in()
    set_back(given)
    problem(await given.client.post("/v1/me/totp", json={}, headers=person.auth), 401, "step_up_required")
    person = await given.logged_in(person)
    assert (await given.post("/v1/me/totp", {}, person.auth))["secret"]


async def test_a_used_refresh_token_has_no_second_grace_period(given: Given) -> None:
    person: Person = await given.logged_in()
    fresh = given.expect(await refresh(given, person.refresh))
    set_back(given)
    problem(await refresh(given, person.refresh), 401, "token_invalid")
    problem(await refresh(given, fresh["refresh_token"]), 401, "token_invalid")  # reuse ends the session
    assert GRACE_PERIOD < BACK


async def test_a_key_that_another_replica_revoked_is_not_trusted_for_another_hour(given: Given) -> None:
    """Keys that were read in the future are read again from the database."""
    person = await given.logged_in()
    cache = given.world.keys.signing
    old_signer = cache.signer
    await rotation.rotate_keys(given.world, at_once=True)
    await given.logged_in(await given.person())
    cache.signer, cache.read_at = old_signer, given.clock.now()  # the cache of a replica that has not read the new key
    set_back(given)
    assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200
    assert cache.signer is not old_signer


async def test_guesses_stay_counted(given: Given) -> None:
    license_ = await given.seats(1)
    wrong = {"license_key": license_["key"][:-6] + "AAAAA", "product": license_["product"]}
    for _ in range(given.world.settings.guesses_per_address):
        await given.client.post("/v1/licenses/validate", json=wrong)
    problem(await given.client.post("/v1/licenses/validate", json=wrong), 429, "too_many_attempts")
    set_back(given)
    problem(await given.client.post("/v1/licenses/validate", json=wrong), 429, "too_many_attempts")
