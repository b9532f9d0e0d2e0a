"""Races for seats and activation codes of a license, against one process or two."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import func, select

from app.licenses.models import Activation
from tests.given import Given, Person

Clients = Sequence[httpx.AsyncClient]
Body = dict[str, Any]
Near = Callable[[Body], Awaitable[datetime]]
"""Waits until the lease of this activation is about to end; returns its end."""
AT_ONCE = 16
SEAT_LIMIT = "seat_limit_reached"


async def run_at_once(calls: Sequence[Awaitable[httpx.Response]]) -> list[httpx.Response]:
    return list(await asyncio.gather(*calls))


def count_outcomes(responses: Sequence[httpx.Response]) -> Counter[str]:
    """Count the responses by status and problem code."""
    return Counter(describe_outcome(response) for response in responses)


def describe_outcome(response: httpx.Response) -> str:
    return str(response.status_code) if response.is_success else f"{response.status_code} {response.json()['code']}"


def activate(clients: Clients, number: int, body: Body, person: Person | None = None) -> Awaitable[httpx.Response]:
    return clients[number % len(clients)].post("/v1/activations", json=body, headers=person.auth if person else {})


def by_key(license_: Body, fingerprint: str) -> Body:
    return {"license_key": license_["key"], "device": {"fingerprint": fingerprint}}


async def get_license(given: Given, license_: Body) -> dict[str, Any]:
    return given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))


async def list_live_activations(given: Given, license_: Body) -> list[dict[str, Any]]:
    path = f"/v1/licenses/{license_['id']}/activations?live=true&limit=100"
    rows: list[dict[str, Any]] = given.expect(await given.client.get(path, headers=given.root))["data"]
    return rows


async def last_seat(given: Given, clients: Clients) -> None:
    """Of sixteen devices one gets the last seat."""
    license_ = await given.seats(3)
    for n in range(2):
        await given.activation(license_, f"old-{n}")
    responses = await run_at_once([activate(clients, n, by_key(license_, f"device-{n}")) for n in range(AT_ONCE)])
    assert count_outcomes(responses) == {"201": 1, f"409 {SEAT_LIMIT}": AT_ONCE - 1}
    assert len(await list_live_activations(given, license_)) == 3


async def same_device(given: Given, clients: Clients) -> None:
    """Sixteen calls of one device take one seat."""
    license_ = await given.seats(1)
    responses = await run_at_once([activate(clients, n, by_key(license_, "laptop")) for n in range(AT_ONCE)])
    assert count_outcomes(responses) == {"201": 1, "200": AT_ONCE - 1}
    assert len({response.json()["token"] for response in responses}) == 1
    assert len(await list_live_activations(given, license_)) == 1


async def seats_of_each_user(given: Given, clients: Clients) -> None:
    """Many devices of one user take only that user's seats."""
    license_ = await given.license(await given.policy(seat_by="device_per_user", max_seats=2))
    crowd, other = await given.logged_in(), await given.logged_in()
    calls = [activate(clients, n, by_key(license_, f"device-{n}"), crowd) for n in range(AT_ONCE - 2)]
    calls += [activate(clients, n, by_key(license_, f"device-{n}"), other) for n in range(2)]
    responses = await run_at_once(calls)
    assert count_outcomes(responses[:-2]) == {"201": 2, f"409 {SEAT_LIMIT}": AT_ONCE - 4}
    assert count_outcomes(responses[-2:]) == {"201": 2}
    assert Counter(row["user_id"] for row in await list_live_activations(given, license_)) == {crowd.id: 2, other.id: 2}


async def seats_by_user(given: Given, clients: Clients) -> None:
    """A user with a seat may use it on any number of devices; the others get no seat."""
    license_ = await given.license(await given.policy(seat_by="user", max_seats=3))
    people = [await given.logged_in() for _ in range(5)]
    calls = [(person, n) for n in range(3) for person in people]
    responses = await run_at_once([activate(clients, n, by_key(license_, f"device-{n}"), person) for person, n in calls])
    each = {
        person.id: count_outcomes([response for response, (owner, _) in zip(responses, calls, strict=True) if owner is person])
        for person in people
    }
    assert sorted(each.values(), key=repr) == sorted(
        [Counter({"200": 2, "201": 1})] * 3 + [Counter({f"409 {SEAT_LIMIT}": 3})] * 2, key=repr
    )
    assert {row["user_id"] for row in await list_live_activations(given, license_)} == {
        person for person, got in each.items() if got["201"]
    }


async def seats_of_processes(given: Given, clients: Clients) -> None:
    """Each process takes its own seat, up to the limit."""
    license_ = await given.license(await given.policy(seat_by="session", max_seats=3, lease="PT30M"))
    responses = await run_at_once([activate(clients, n, by_key(license_, "laptop")) for n in range(AT_ONCE)])
    assert count_outcomes(responses) == {"201": 3, f"409 {SEAT_LIMIT}": AT_ONCE - 3}
    assert len({response.json()["activation"]["id"] for response in responses if response.is_success}) == 3
    assert len(await list_live_activations(given, license_)) == 3


async def list_code_uses(given: Given, license_: Body) -> list[int]:
    path = f"/v1/licenses/{license_['id']}/activation-codes"
    return [row["uses"] for row in given.expect(await given.client.get(path, headers=given.root))["data"]]


async def redeem_code(given: Given, clients: Clients, license_: Body, max_uses: int, devices: int) -> Counter[str]:
    code = await given.code(license_, max_uses=max_uses)
    bodies = [{"activation_code": code, "device": {"fingerprint": f"device-{n % devices}"}} for n in range(AT_ONCE)]
    return count_outcomes(await run_at_once([activate(clients, n, body) for n, body in enumerate(bodies)]))


async def code_uses(given: Given, clients: Clients) -> None:
    """A code is accepted as often as it may be used."""
    license_ = await given.seats("unlimited")
    spent = await redeem_code(given, clients, license_, 3, AT_ONCE)
    assert spent == {"201": 3, "410 activation_code_spent": AT_ONCE - 3}
    assert await list_code_uses(given, license_) == [3]


async def code_without_seat(given: Given, clients: Clients) -> None:
    """A code is not spent if there is no free seat (licensing R38)."""
    license_ = await given.seats(2)
    spent = await redeem_code(given, clients, license_, 10, AT_ONCE)
    assert spent == {"201": 2, f"409 {SEAT_LIMIT}": AT_ONCE - 2}
    assert await list_code_uses(given, license_) == [2]


async def code_of_one_device(given: Given, clients: Clients) -> None:
    """Repeated activations of one device use the code once."""
    license_ = await given.seats(2)
    assert await redeem_code(given, clients, license_, 10, 1) == {"201": 1, "200": AT_ONCE - 1}
    assert await list_code_uses(given, license_) == [1]


async def lapse(given: Given, clients: Clients, lease: str, near: Near) -> None:
    """The lease of the only seat ends while its holder renews it and others activate. `near` waits until just before its end."""
    license_ = await given.seats(1, lease=lease)
    holder = await given.activation(license_, "holder")
    auth, path = {"Authorization": f"Bearer {holder['token']}"}, f"/v1/activations/{holder['activation']['id']}/heartbeat"
    takers = [by_key(license_, f"taker-{n}") for n in range(AT_ONCE // 2)]

    async def after(number: int, call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        await asyncio.sleep(number * 0.002)
        return await call()

    def beat(client: httpx.AsyncClient) -> Callable[[], Awaitable[httpx.Response]]:
        return lambda: client.post(path, headers=auth)

    def take(number: int, body: Body) -> Callable[[], Awaitable[httpx.Response]]:
        return lambda: activate(clients, number, body)

    ends = await near(holder["activation"])
    calls = [after(n, beat(clients[(n + 1) % len(clients)])) for n in range(len(takers))]
    calls += [after(n, take(n, body)) for n, body in enumerate(takers)]
    responses = await run_at_once(calls)
    assert set(count_outcomes(responses)) <= {"200", "201", f"409 {SEAT_LIMIT}"}
    assert await count_activations_past(given, license_, ends) == 1


async def count_activations_past(given: Given, license_: Body, moment: datetime) -> int:
    c = Activation
    seats = select(func.count()).where(c.license_id == UUID(license_["id"]), c.released_at.is_(None), c.lease_expires_at > moment)
    async with given.world.db.query() as tx:
        return int(await tx.scalar(seats) or 0)
