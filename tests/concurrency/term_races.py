"""Races for meters, start dates and trials, and changes of a license during activations."""

from collections import Counter
from collections.abc import Awaitable
from uuid import UUID

import httpx
from sqlalchemy import func, select

from app.licenses.models import Activation
from tests.concurrency.seat_races import (
    AT_ONCE,
    SEAT_LIMIT,
    Body,
    Clients,
    activate,
    by_key,
    count_outcomes,
    get_license,
    list_live_activations,
    run_at_once,
)
from tests.given import Given

MIDDLE = AT_ONCE // 2


async def usage(given: Given, clients: Clients) -> None:
    """A meter never exceeds its limit."""
    license_ = await given.license(await given.policy(meters={"exports": {"limit": 3, "per": "year"}}))
    body = {"license_key": license_["key"], "meter": "exports", "add": 1}
    responses = await run_at_once([clients[n % len(clients)].post("/v1/usage", json=body) for n in range(5)])
    assert count_outcomes(responses) == {"200": 3, "409 usage_limit_reached": 2}
    assert sorted(response.json()["used"] for response in responses if response.is_success) == [1, 2, 3]
    assert (await get_license(given, license_))["usage"]["exports"]["used"] == 3


async def first_activation(given: Given, clients: Clients) -> None:
    """The first activation starts the license; all responses have the same dates (licensing R12)."""
    policy = await given.policy(seat_by="device", max_seats="unlimited", starts="first_activation", duration="P1Y", grace="P7D")
    license_ = await given.license(policy)
    responses = await run_at_once([activate(clients, n, by_key(license_, f"device-{n}")) for n in range(AT_ONCE)])
    assert count_outcomes(responses) == {"201": AT_ONCE}
    dates = ("starts_at", "expires_at", "grace_until")
    responded = {tuple(response.json()["license"][name] for name in dates) for response in responses}
    now = await get_license(given, license_)
    assert responded == {tuple(now[name] for name in dates)}
    assert None not in responded.pop()


async def one_trial(given: Given, clients: Clients) -> None:
    """A device gets one trial of a product, on the license that was activated first."""
    policy = await given.policy(seat_by="device", max_seats=5, starts="first_activation", duration="P14D", trial=True)
    two = [await given.license(policy) for _ in range(2)]
    responses = await run_at_once([activate(clients, n // 2, by_key(two[n % 2], "laptop")) for n in range(AT_ONCE)])
    won, lost = sorted((count_outcomes(responses[0::2]), count_outcomes(responses[1::2])), key=lambda row: -row["201"])
    assert won == {"201": 1, "200": MIDDLE - 1}
    assert lost == {"409 trial_used": MIDDLE}
    assert sorted([len(await list_live_activations(given, row)) for row in two]) == [0, 1]


async def activate_during(given: Given, clients: Clients, license_: Body, change: Awaitable[httpx.Response]) -> list[httpx.Response]:
    """Activate sixteen devices while the change is made; return their responses."""
    calls = [activate(clients, n, by_key(license_, f"device-{n}")) for n in range(AT_ONCE)]
    responses = await run_at_once([*calls[:MIDDLE], change, *calls[MIDDLE:]])
    assert responses.pop(MIDDLE).is_success
    return responses


async def user_removed(given: Given, clients: Clients) -> None:
    """A removed user keeps no seat."""
    license_, person = await given.seats("unlimited"), await given.logged_in()
    member = f"/v1/licenses/{license_['id']}/users/{person.id}"
    given.expect(await given.client.put(member, headers=given.root))
    bodies = [{"license_id": license_["id"], "device": {"fingerprint": f"device-{n}"}} for n in range(AT_ONCE)]
    calls = [activate(clients, n, body, person) for n, body in enumerate(bodies)]
    responses = await run_at_once([*calls[:MIDDLE], clients[0].delete(member, headers=given.root), *calls[MIDDLE:]])
    assert responses.pop(MIDDLE).status_code == 204
    assert set(count_outcomes(responses)) <= {"201", "404 license_not_found"}
    assert await list_live_activations(given, license_) == []


async def smaller_policy(given: Given, clients: Clients) -> Body:
    """Existing seats remain, even beyond the new limit; no further seat is taken beyond it (licensing R28)."""
    policy = await given.policy(seat_by="device", max_seats=12)
    license_ = await given.license(policy)
    smaller = await given.policy({"code": policy["product"]}, seat_by="device", max_seats=3)
    responses = await activate_during(given, clients, license_, change_policy(given, clients, license_, smaller))
    assert set(count_outcomes(responses)) <= {"201", f"409 {SEAT_LIMIT}"}
    assert len(await list_live_activations(given, license_)) == count_outcomes(responses)["201"] <= 12
    under = [response.json()["seats"] for response in responses if response.is_success and response.json()["seats"]["limit"] == 3]
    assert all(seats["used"] <= 3 for seats in under)
    return license_


def change_policy(given: Given, clients: Clients, license_: Body, policy: Body) -> Awaitable[httpx.Response]:
    return clients[0].post(f"/v1/licenses/{license_['id']}/change-policy", json={"policy_id": policy["id"]}, headers=given.root)


async def other_kind(given: Given, clients: Clients) -> None:
    """Seats of the old kind end with the change; seats of the new kind never exceed the limit."""
    policy = await given.policy(seat_by="device", max_seats=12)
    license_ = await given.license(policy)
    processes = await given.policy({"code": policy["product"]}, seat_by="session", max_seats=2, lease="PT30M")
    responses = await activate_during(given, clients, license_, change_policy(given, clients, license_, processes))
    assert set(count_outcomes(responses)) <= {"201", f"409 {SEAT_LIMIT}"}
    kinds = await count_seat_kinds(given, license_)
    assert kinds[True] == 0
    assert kinds[False] <= 2


async def count_seat_kinds(given: Given, license_: Body) -> Counter[bool]:
    """Count the unreleased seats of devices (True) and of processes (False)."""
    seats = select(Activation.user_key, func.count()).where(Activation.license_id == UUID(license_["id"]), Activation.released_at.is_(None))
    counts: Counter[bool] = Counter()
    async with given.world.db.query() as tx:
        for user_key, count in await tx.execute(seats.group_by(Activation.user_key)):
            counts[user_key == ""] += count
    return counts


async def rotated(given: Given, clients: Clients) -> Body:
    """The old key stops working at once; activations made with it keep their seat (licensing R50). Returns the license."""
    license_ = await given.seats("unlimited")
    rotation = clients[0].post(f"/v1/licenses/{license_['id']}/rotate-key", headers=given.root)
    responses = await activate_during(given, clients, license_, rotation)
    assert set(count_outcomes(responses)) <= {"201", "404 license_not_found", "429 too_many_attempts"}
    assert len(await list_live_activations(given, license_)) == count_outcomes(responses)["201"]
    after = await run_at_once([activate(clients, n, by_key(license_, f"late-{n}")) for n in range(2)])
    assert set(count_outcomes(after)) <= {"404 license_not_found", "429 too_many_attempts"}
    return license_


async def suspended(given: Given, clients: Clients) -> Body:
    """After the suspension no activation succeeds. Returns the license."""
    license_ = await given.seats("unlimited")
    suspension = clients[0].post(f"/v1/licenses/{license_['id']}/suspend", headers=given.root)
    responses = await activate_during(given, clients, license_, suspension)
    assert set(count_outcomes(responses)) <= {"201", "403 license_suspended"}
    assert len(await list_live_activations(given, license_)) == count_outcomes(responses)["201"]
    after = await run_at_once([activate(clients, n, by_key(license_, f"late-{n}")) for n in range(2)])
    assert count_outcomes(after) == {"403 license_suspended": 2}
    return license_


def guess(clients: Clients, number: int, key: str, product: str) -> Awaitable[httpx.Response]:
    return clients[number % len(clients)].post("/v1/licenses/validate", json={"license_key": key, "product": product})


async def guesses(given: Given, clients: Clients) -> None:
    """Forty wrong keys from one address at once: up to the limit they are checked; right keys always are (licensing R52)."""
    budget, license_ = given.world.settings.guesses_per_address, await given.license()
    wrong = [guess(clients, n, f"WRONG-KEY-{n}", license_["product"]) for n in range(40)]
    right = [guess(clients, n, license_["key"], license_["product"]) for n in range(4)]
    responses = await run_at_once([*wrong, *right])
    assert count_outcomes(responses[:40]) == {"200": budget, "429 too_many_attempts": 40 - budget}
    assert [response.json().get("code") for response in responses[40:]] == ["ok"] * 4


async def guesses_of_one_key(given: Given, clients: Clients) -> None:
    budget, license_ = given.world.settings.guesses_per_key, await given.license()
    responses = await run_at_once([guess(clients, n, "WRONG-KEY", license_["product"]) for n in range(AT_ONCE)])
    assert count_outcomes(responses) == {"200": budget, "429 too_many_attempts": AT_ONCE - budget}
