"""Races for what is no seat: meters, clocks, trials; and changes of a license in the middle of activations."""

from collections import Counter
from collections.abc import Awaitable
from uuid import UUID

import httpx
from sqlalchemy import func, select

from app.licenses.models import Activation
from tests.concurrency.seat_races import AT_ONCE, INSTEAD, Body, Clients, activate, at_once, by_key, live, shown, told
from tests.given import Given

MIDDLE = AT_ONCE // 2


async def usage(given: Given, clients: Clients) -> None:
    license_ = await given.license(await given.policy(meters={"exports": {"limit": 3, "per": "year"}}))
    body = {"license_key": license_["key"], "meter": "exports", "add": 1}
    answers = await at_once([clients[n % len(clients)].post("/v1/usage", json=body) for n in range(5)])
    assert told(answers) == {"200": 3, "409 usage_limit_reached": 2}
    assert sorted(answer.json()["used"] for answer in answers if answer.is_success) == [1, 2, 3]
    assert (await shown(given, license_))["usage"]["exports"]["used"] == 3


async def first_activation(given: Given, clients: Clients) -> None:
    """Whoever comes first starts the clock; everybody sees the same end, in the first answer already (licensing R12)."""
    policy = await given.policy(seat_by="device", max_seats="unlimited", starts="first_activation", duration="P1Y", grace="P7D")
    license_ = await given.license(policy)
    answers = await at_once([activate(clients, n, by_key(license_, f"device-{n}")) for n in range(AT_ONCE)])
    assert told(answers) == {"201": AT_ONCE}
    dates = ("starts_at", "expires_at", "grace_until")
    seen = {tuple(answer.json()["license"][name] for name in dates) for answer in answers}
    now = await shown(given, license_)
    assert seen == {tuple(now[name] for name in dates)}
    assert None not in seen.pop()


async def one_trial(given: Given, clients: Clients) -> None:
    """A device has one trial of the product, on whichever of two licenses was first."""
    policy = await given.policy(seat_by="device", max_seats=5, starts="first_activation", duration="P14D", trial=True)
    two = [await given.license(policy) for _ in range(2)]
    answers = await at_once([activate(clients, n // 2, by_key(two[n % 2], "laptop")) for n in range(AT_ONCE)])
    won, lost = sorted((told(answers[0::2]), told(answers[1::2])), key=lambda it: -it["201"])
    assert won == {"201": 1, "200": MIDDLE - 1}
    assert lost == {"409 trial_used": MIDDLE}
    assert sorted([len(await live(given, it)) for it in two]) == [0, 1]


async def amid(given: Given, clients: Clients, license_: Body, change: Awaitable[httpx.Response]) -> list[httpx.Response]:
    """Sixteen devices activate while the change is made; their answers."""
    calls = [activate(clients, n, by_key(license_, f"device-{n}")) for n in range(AT_ONCE)]
    answers = await at_once([*calls[:MIDDLE], change, *calls[MIDDLE:]])
    assert answers.pop(MIDDLE).is_success
    return answers


async def user_removed(given: Given, clients: Clients) -> None:
    license_, person = await given.seats("unlimited"), await given.logged_in()
    member = f"/v1/licenses/{license_['id']}/users/{person.id}"
    given.expect(await given.client.put(member, headers=given.root))
    bodies = [{"license_id": license_["id"], "device": {"fingerprint": f"device-{n}"}} for n in range(AT_ONCE)]
    calls = [activate(clients, n, body, person) for n, body in enumerate(bodies)]
    answers = await at_once([*calls[:MIDDLE], clients[0].delete(member, headers=given.root), *calls[MIDDLE:]])
    assert answers.pop(MIDDLE).status_code == 204
    assert set(told(answers)) <= {"201", "404 license_not_found"}
    assert await live(given, license_) == []


async def smaller_policy(given: Given, clients: Clients) -> Body:
    """Seats that were there stay, also beyond the new limit; no new one is taken beyond it (licensing R28)."""
    policy = await given.policy(seat_by="device", max_seats=12)
    license_ = await given.license(policy)
    smaller = await given.policy({"code": policy["product"]}, seat_by="device", max_seats=3)
    answers = await amid(given, clients, license_, changed(given, clients, license_, smaller))
    assert set(told(answers)) <= {"201", f"409 {INSTEAD}"}
    assert len(await live(given, license_)) == told(answers)["201"] <= 12
    under = [answer.json()["seats"] for answer in answers if answer.is_success and answer.json()["seats"]["limit"] == 3]
    assert all(seats["used"] <= 3 for seats in under)
    return license_


def changed(given: Given, clients: Clients, license_: Body, policy: Body) -> Awaitable[httpx.Response]:
    return clients[0].post(f"/v1/licenses/{license_['id']}/change-policy", json={"policy_id": policy["id"]}, headers=given.root)


async def other_kind(given: Given, clients: Clients) -> None:
    """Seats of the old kind end with the change; of the new kind there are never more than allowed."""
    policy = await given.policy(seat_by="device", max_seats=12)
    license_ = await given.license(policy)
    processes = await given.policy({"code": policy["product"]}, seat_by="session", max_seats=2, lease="PT30M")
    answers = await amid(given, clients, license_, changed(given, clients, license_, processes))
    assert set(told(answers)) <= {"201", f"409 {INSTEAD}"}
    kinds = await kinds_alive(given, license_)
    assert kinds[True] == 0
    assert kinds[False] <= 2


async def kinds_alive(given: Given, license_: Body) -> Counter[bool]:
    """How many seats that are not released are a device's (True), and how many a process's."""
    seats = select(Activation.user_key, func.count()).where(Activation.license_id == UUID(license_["id"]), Activation.released_at.is_(None))
    told_: Counter[bool] = Counter()
    async with given.world.db.query() as tx:
        for user_key, count in await tx.execute(seats.group_by(Activation.user_key)):
            told_[user_key == ""] += count
    return told_


async def rotated(given: Given, clients: Clients) -> Body:
    """The old key dies at once; whoever got in with it before keeps the seat (licensing R50). The license, for a look at what happened."""
    license_ = await given.seats("unlimited")
    rotation = clients[0].post(f"/v1/licenses/{license_['id']}/rotate-key", headers=given.root)
    answers = await amid(given, clients, license_, rotation)
    assert set(told(answers)) <= {"201", "404 license_not_found", "429 too_many_attempts"}
    assert len(await live(given, license_)) == told(answers)["201"]
    after = await at_once([activate(clients, n, by_key(license_, f"late-{n}")) for n in range(2)])
    assert set(told(after)) <= {"404 license_not_found", "429 too_many_attempts"}
    return license_


async def suspended(given: Given, clients: Clients) -> Body:
    license_ = await given.seats("unlimited")
    suspension = clients[0].post(f"/v1/licenses/{license_['id']}/suspend", headers=given.root)
    answers = await amid(given, clients, license_, suspension)
    assert set(told(answers)) <= {"201", "403 license_suspended"}
    assert len(await live(given, license_)) == told(answers)["201"]
    after = await at_once([activate(clients, n, by_key(license_, f"late-{n}")) for n in range(2)])
    assert told(after) == {"403 license_suspended": 2}
    return license_


def guess(clients: Clients, number: int, key: str, product: str) -> Awaitable[httpx.Response]:
    return clients[number % len(clients)].post("/v1/licenses/validate", json={"license_key": key, "product": product})


async def guesses(given: Given, clients: Clients) -> None:
    """Forty wrong keys from one address at once: the budget's worth are answered as what they are; right ones always are (licensing R52)."""
    budget, license_ = given.world.settings.guesses_per_address, await given.license()
    wrong = [guess(clients, n, f"WRONG-KEY-{n}", license_["product"]) for n in range(40)]
    right = [guess(clients, n, license_["key"], license_["product"]) for n in range(4)]
    answers = await at_once([*wrong, *right])
    assert told(answers[:40]) == {"200": budget, "429 too_many_attempts": 40 - budget}
    assert [answer.json().get("code") for answer in answers[40:]] == ["ok"] * 4


async def guesses_of_one_key(given: Given, clients: Clients) -> None:
    budget, license_ = given.world.settings.guesses_per_key, await given.license()
    answers = await at_once([guess(clients, n, "WRONG-KEY", license_["product"]) for n in range(AT_ONCE)])
    assert told(answers) == {"200": budget, "429 too_many_attempts": AT_ONCE - budget}
