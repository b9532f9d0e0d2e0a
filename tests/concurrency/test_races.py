"""Sixteen (or more) at the same moment, in one process, on both databases. Exactly as many get it as there is of it."""

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


async def together(*calls: Any) -> Counter[int]:
    answers: list[httpx.Response] = await asyncio.gather(*calls)
    return Counter(answer.status_code for answer in answers)


async def rows(given: Given) -> int:
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(Activation)) or 0)


def take(given: Given, license_: dict[str, Any], fingerprint: str) -> Any:
    body = {"license_key": license_["key"], "device": {"fingerprint": fingerprint}}
    return given.client.post("/v1/activations", json=body)


async def test_twelve_devices_for_three_seats(given: Given) -> None:
    license_ = await given.seats(3)
    assert await together(*(take(given, license_, f"device-{n}") for n in range(12))) == {201: 3, 409: 9}
    assert await rows(given) == 3


async def test_r35_one_device_twelve_times(given: Given) -> None:
    license_ = await given.seats(1)
    assert await together(*(take(given, license_, "laptop") for _ in range(12))) == {201: 1, 200: 11}
    assert await rows(given) == 1


async def test_a_one_use_code_sixteen_times(given: Given) -> None:
    license_ = await given.seats("unlimited")
    code = await given.code(license_)

    def redeem(n: int) -> Any:
        body = {"activation_code": code, "device": {"fingerprint": f"device-{n}"}}
        return given.client.post("/v1/activations", json=body)

    assert await together(*(redeem(n) for n in range(16))) == {201: 1, 410: 15}
    assert await rows(given) == 1


async def test_the_last_seat_while_another_is_given_back(given: Given) -> None:
    license_ = await given.seats(2)
    held = [await given.activation(license_, f"old-{n}") for n in range(2)]
    releases = [given.client.delete(f"/v1/activations/{it['activation']['id']}", headers=given.root) for it in held]
    takes = [take(given, license_, f"new-{n}") for n in range(14)]
    told = await together(*releases, *takes)
    assert told[204] == 2
    assert told[201] <= 2
    assert told[201] + told[409] == 14
    live = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))["seats"]["used"]
    assert live == told[201]


async def test_r7_the_hashing_pool_refuses_beyond_its_queue(hasher: PasswordHasher) -> None:
    room = hasher.waiting + int(hasher.limiter.total_tokens)
    told = await asyncio.gather(*(hasher.hash(PASSWORD) for _ in range(room + 10)), return_exceptions=True)
    hashed = [it for it in told if isinstance(it, str)]
    assert hasher.waiting <= len(hashed) < room + 10
    assert all(isinstance(it, Busy) for it in told if it not in hashed)


async def test_enrolments_at_the_same_moment_leave_one_pending_device(given: Given) -> None:
    person = await given.logged_in()
    told = await together(*(given.client.post("/v1/me/totp", headers=person.auth) for _ in range(8)))
    assert set(told) <= {201, 409}
    async with given.world.db.query() as tx:
        pending = select(func.count()).select_from(Factor).where(Factor.state == "pending")
        assert await tx.scalar(pending) == 1


async def test_a_requirement_and_the_policy_that_makes_it_impossible_never_both_stand(given: Given) -> None:
    for _ in range(6):
        product = await given.product()
        body = {"product": product["code"], "name": "P", "seat_by": "none"}
        told = await together(
            given.client.patch(f"/v1/products/{product['code']}", json={"requires": ["activation"]}, headers=given.root),
            given.client.post("/v1/policies", json=body, headers=given.root),
        )
        assert told[422] == 1


async def test_a_log_in_with_the_old_password_never_outlives_its_change(given: Given) -> None:
    """Whatever the order, a session that was opened by the old password is dead once the change was answered."""
    person = await given.logged_in()
    old = {"identifier": person.email, "password": person.password}
    change = {"current": person.password, "new": "a wholly different staple"}
    answers: list[httpx.Response] = await asyncio.gather(
        *(given.client.post("/v1/login", json=old) for _ in range(3)),
        given.client.post("/v1/me/password", json=change, headers=person.auth),
    )
    assert answers[-1].status_code in {204, 503}
    if answers[-1].status_code == 204:
        for answer in answers[:-1]:
            if answer.status_code == 200:
                auth = {"Authorization": f"Bearer {answer.json()['access_token']}"}
                assert (await given.client.get("/v1/me", headers=auth)).status_code == 401
