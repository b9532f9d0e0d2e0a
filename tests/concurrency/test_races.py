"""Concurrent calls in one process, on both databases: limits hold exactly."""

import asyncio
from collections import Counter
from typing import Any

import httpx
from sqlalchemy import func, select

from app.base.problems import Busy
from app.licenses.models import Activation
from app.login.models import Factor
from app.security.passwords import PasswordHasher
from tests.given import PASSWORD, Given


async def count_statuses(*calls: Any) -> Counter[int]:
    responses: list[httpx.Response] = await asyncio.gather(*calls)
    return Counter(response.status_code for response in responses)


async def count_activations(given: Given) -> int:
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(Activation)) or 0)


def take(given: Given, license_: dict[str, Any], fingerprint: str) -> Any:
    body = {"license_key": license_["key"], "device": {"fingerprint": fingerprint}}
    return given.client.post("/v1/activations", json=body)


async def test_twelve_devices_get_three_seats(given: Given) -> None:
    license_ = await given.seats(3)
    assert await count_statuses(*(take(given, license_, f"device-{n}") for n in range(12))) == {201: 3, 409: 9}
    assert await count_activations(given) == 3


async def test_r35_one_device_gets_one_seat_from_twelve_calls(given: Given) -> None:
    license_ = await given.seats(1)
    assert await count_statuses(*(take(given, license_, "laptop") for _ in range(12))) == {201: 1, 200: 11}
    assert await count_activations(given) == 1


async def test_a_single_use_code_is_accepted_once(given: Given) -> None:
    license_ = await given.seats("unlimited")
    code = await given.code(license_)

    def redeem(n: int) -> Any:
        body = {"activation_code": code, "device": {"fingerprint": f"device-{n}"}}
        return given.client.post("/v1/activations", json=body)

    assert await count_statuses(*(redeem(n) for n in range(16))) == {201: 1, 410: 15}
    assert await count_activations(given) == 1


async def test_seats_released_during_activations_are_given_out_at_most_once(given: Given) -> None:
    license_ = await given.seats(2)
    existing = [await given.activation(license_, f"old-{n}") for n in range(2)]
    releases = [given.client.delete(f"/v1/activations/{activation['activation']['id']}", headers=given.root) for activation in existing]
    takes = [take(given, license_, f"new-{n}") for n in range(14)]
    statuses = await count_statuses(*releases, *takes)
    assert statuses[204] == 2
    assert statuses[201] <= 2
    assert statuses[201] + statuses[409] == 14
    live = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))["seats"]["used"]
    assert live == statuses[201]


async def test_r7_the_hash_pool_refuses_calls_beyond_its_queue(hasher: PasswordHasher) -> None:
    capacity = hasher.waiting + int(hasher.limiter.total_tokens)
    outcomes = await asyncio.gather(*(hasher.hash(PASSWORD) for _ in range(capacity + 10)), return_exceptions=True)
    hashed = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert hasher.waiting <= len(hashed) < capacity + 10
    assert all(isinstance(outcome, Busy) for outcome in outcomes if outcome not in hashed)


async def test_concurrent_enrolments_leave_one_pending_authenticator(given: Given) -> None:
    person = await given.logged_in()
    statuses = await count_statuses(*(given.client.post("/v1/me/totp", headers=person.auth) for _ in range(8)))
    assert set(statuses) <= {201, 409}
    async with given.world.db.query() as tx:
        pending = select(func.count()).select_from(Factor).where(Factor.state == "pending")
        assert await tx.scalar(pending) == 1


async def test_a_requirement_and_a_contradicting_policy_are_never_both_accepted(given: Given) -> None:
    for _ in range(6):
        product = await given.product()
        body = {"product": product["code"], "name": "P", "seat_by": "none"}
        statuses = await count_statuses(
            given.client.patch(f"/v1/products/{product['code']}", json={"requires": ["activation"]}, headers=given.root),
            given.client.post("/v1/policies", json=body, headers=given.root),
        )
        assert statuses[422] == 1


async def test_a_login_with_the_old_password_ends_with_its_change(given: Given) -> None:
    """In any order, a session opened with the old password is invalid after the response to the change."""
    person = await given.logged_in()
    old = {"identifier": person.email, "password": person.password}
    change = {"current": person.password, "new": "a wholly different staple"}
    responses: list[httpx.Response] = await asyncio.gather(
        *(given.client.post("/v1/login", json=old) for _ in range(3)),
        given.client.post("/v1/me/password", json=change, headers=person.auth),
    )
    assert responses[-1].status_code in {204, 503}
    if responses[-1].status_code == 204:
        for response in responses[:-1]:
            if response.status_code == 200:
                auth = {"Authorization": f"Bearer {response.json()['access_token']}"}
                assert (await given.client.get("/v1/me", headers=auth)).status_code == 401
