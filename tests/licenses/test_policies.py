"""Every kind of policy works as documented (api.md section 2), and contradictory policies are refused when declared."""

from typing import Any

import pytest

from tests.assertions import problem
from tests.given import Given, Person


def body(license_: dict[str, Any], fingerprint: str | None = "laptop", **more: Any) -> dict[str, Any]:
    device = {"device": {"fingerprint": fingerprint}} if fingerprint is not None else {}
    return {"license_key": license_["key"], **device, **more}


async def activate(
    given: Given, license_: dict[str, Any], fingerprint: str | None = "laptop", user: Person | None = None
) -> tuple[int, Any]:
    answer = await given.client.post("/v1/activations", json=body(license_, fingerprint), headers=user.auth if user else {})
    result = answer.json()
    return answer.status_code, result["activation"] if answer.is_success else result["code"]


async def validate(given: Given, license_: dict[str, Any], fingerprint: str | None = "laptop", user: Person | None = None) -> str:
    request_body = body(license_, fingerprint, product=license_["product"])
    return str((await given.post("/v1/licenses/validate", request_body, user.auth if user else {}))["code"])


async def test_r8_a_key_only_license_needs_no_device(given: Given) -> None:
    license_ = await given.license()
    assert await validate(given, license_, None) == "ok"
    assert await validate(given, license_, "anything") == "ok"
    assert await activate(given, license_) == (409, "seats_not_used")


@pytest.mark.parametrize("limit", [1, 3])
async def test_a_device_limit_holds_for_one_and_several_devices(given: Given, limit: int) -> None:
    license_ = await given.seats(limit)
    assert await validate(given, license_) == "not_activated"
    for number in range(limit):
        assert (await activate(given, license_, f"device-{number}"))[0] == 201
    assert await activate(given, license_, "one more") == (409, "seat_limit_reached")
    given.clock.forward(days=4000)
    assert await validate(given, license_, "device-0") == "ok"
    assert await validate(given, license_, "one more") == "not_activated"


async def test_floating_seats_become_free_automatically(given: Given) -> None:
    license_ = await given.seats(1, lease="PT30M")
    await activate(given, license_, "one")
    given.clock.forward(minutes=30)
    assert await validate(given, license_, "one") == "lease_expired"
    assert (await activate(given, license_, "two"))[0] == 201
    assert await activate(given, license_, "one") == (409, "seat_limit_reached")


async def test_a_weekly_heartbeat_keeps_the_seat(given: Given) -> None:
    license_ = await given.seats(1, lease="P7D")
    activation = await given.activation(license_)
    given.clock.forward(days=6, hours=23)
    auth, path = {"Authorization": f"Bearer {activation['token']}"}, f"/v1/activations/{activation['activation']['id']}/heartbeat"
    assert (await given.client.post(path, headers=auth)).status_code == 200
    given.clock.forward(days=6, hours=23)
    assert await validate(given, license_) == "ok"
    given.clock.forward(hours=1)
    assert await validate(given, license_) == "lease_expired"


async def test_each_process_has_a_separate_seat_even_on_one_device(given: Given) -> None:
    license_ = await given.license(await given.policy(seat_by="session", max_seats=2, lease="PT5M"))
    first, second = [(await activate(given, license_, "host"))[1] for _ in range(2)]
    assert first["id"] != second["id"]
    assert await activate(given, license_, "host") == (409, "seat_limit_reached")
    assert await validate(given, license_, "host") == "ok"
    assert await validate(given, license_, "other") == "not_activated"
    given.clock.forward(minutes=5)
    assert await validate(given, license_, "host") == "lease_expired"
    assert (await activate(given, license_, "host"))[1]["id"] not in {first["id"], second["id"]}


async def test_seats_of_dead_processes_are_released_after_a_day(given: Given) -> None:
    license_ = await given.license(await given.policy(seat_by="session", max_seats=5, lease="PT5M"))
    for _ in range(3):
        await activate(given, license_, "host")
    given.clock.forward(hours=25)
    _, living = await activate(given, license_, "host")
    path = f"/v1/licenses/{license_['id']}/activations"
    assert [row["id"] for row in given.expect(await given.client.get(path, headers=given.root))["data"]] == [living["id"]]
    past = given.expect(await given.client.get(f"{path}?live=false", headers=given.root))["data"]
    assert [(row["release_reason"], row["released_at"]) for row in past] == [("lapsed", "2026-11-22T12:05:00.000Z")] * 3


async def test_r33_named_users_have_one_seat_each_on_any_device(given: Given) -> None:
    license_ = await given.license(await given.policy(seat_by="user", max_seats=2))
    ola, kari, paal = [await given.logged_in() for _ in range(3)]
    assert await activate(given, license_) == (401, "login_required")
    assert await validate(given, license_) == "login_required"
    status, seat = await activate(given, license_, "laptop", ola)
    assert (status, seat["fingerprint"]) == (201, None)
    assert await activate(given, license_, "phone", ola) == (200, {**seat, "last_seen_at": seat["last_seen_at"]})
    assert (await activate(given, license_, None, kari))[0] == 201
    assert await activate(given, license_, "laptop", paal) == (409, "seat_limit_reached")
    assert await validate(given, license_, None, ola) == "ok"
    assert await validate(given, license_, "never seen", ola) == "ok"
    assert await validate(given, license_, "laptop", paal) == "not_activated"


async def test_r33_the_device_limit_is_per_user(given: Given) -> None:
    license_ = await given.license(await given.policy(seat_by="device_per_user", max_seats=2))
    ola, kari = await given.logged_in(), await given.logged_in()
    assert await activate(given, license_) == (401, "login_required")
    for fingerprint in ("laptop", "phone"):
        assert (await activate(given, license_, fingerprint, ola))[0] == 201
    assert await activate(given, license_, "tablet", ola) == (409, "seat_limit_reached")
    assert (await activate(given, license_, "laptop", kari))[0] == 201
    assert await validate(given, license_, "laptop", kari) == "ok"
    assert await validate(given, license_, "phone", kari) == "not_activated"
    request_body = body(license_, "laptop", product=license_["product"])
    assert (await given.post("/v1/licenses/validate", request_body, kari.auth))["license"]["seats"] == {"used": 1, "limit": 2}
    details = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))
    assert details["seats"]["used"] == 3


async def test_a_user_can_renew_their_seat_without_its_token(given: Given) -> None:
    license_ = await given.license(await given.policy(seat_by="user", max_seats=1, lease="PT1H"))
    ola, kari = await given.logged_in(), await given.logged_in()
    _, seat = await activate(given, license_, None, ola)
    given.clock.forward(minutes=5)
    beat = f"/v1/activations/{seat['id']}/heartbeat"
    renewed = given.expect(await given.client.post(beat, headers=ola.auth))
    assert renewed["activation"]["lease_expires_at"] > seat["lease_expires_at"]
    problem(await given.client.post(beat, headers=kari.auth), 404, "activation_not_found")
    problem(await given.client.post(beat, headers=given.root), 403, "activation_token_required")


async def test_r32_extra_seats_are_tolerated_with_a_warning(given: Given) -> None:
    license_ = await given.seats(1, extra_seats=1)
    await given.activation(license_, "one")
    assert (await given.activation(license_, "two"))["seats"] == {"used": 2, "limit": 2}
    assert await activate(given, license_, "three") == (409, "seat_limit_reached")
    result = await given.post("/v1/licenses/validate", body(license_, "one", product=license_["product"]), {})
    assert (result["valid"], [row["code"] for row in result["warnings"]]) == (True, ["over_limit"])


async def test_r28_lowering_a_limit_keeps_devices_working_and_refuses_new_ones(given: Given) -> None:
    policy = await given.policy(seat_by="device", max_seats=3)
    license_ = await given.license(policy)
    for fingerprint in ("one", "two"):
        await given.activation(license_, fingerprint)
    given.expect(await given.client.patch(f"/v1/policies/{policy['id']}", json={"max_seats": 1}, headers=given.root))
    result = await given.post("/v1/licenses/validate", body(license_, "two", product=license_["product"]), {})
    assert (result["valid"], result["warnings"][0]["code"]) == (True, "over_limit")
    assert (await activate(given, license_, "two"))[0] == 200
    assert await activate(given, license_, "three") == (409, "seat_limit_reached")


async def test_r29_zero_and_unlimited_are_different_limits(given: Given) -> None:
    assert await activate(given, await given.seats(0)) == (409, "seat_limit_reached")
    endless = await given.seats("unlimited")
    for number in range(5):
        assert (await activate(given, endless, f"device-{number}"))[0] == 201


async def test_each_device_gets_one_trial_of_a_product(given: Given) -> None:
    product = await given.product()
    terms = {"seat_by": "device", "max_seats": 2, "trial": True, "starts": "first_activation", "duration": "P14D"}
    trial = await given.policy(product, **terms)
    first, second = await given.license(trial), await given.license(trial)
    _, seat = await activate(given, first)
    assert await activate(given, second) == (409, "trial_used")
    await given.client.delete(f"/v1/activations/{seat['id']}", headers=given.root)
    assert await activate(given, second) == (409, "trial_used")
    assert (await activate(given, first))[0] == 201
    assert (await activate(given, second, "phone"))[0] == 201
    paid = await given.license(await given.policy(product, seat_by="device", max_seats=1))
    assert (await activate(given, paid))[0] == 201


@pytest.mark.parametrize(
    "terms",
    [
        {"seat_by": "none", "starts": "first_activation"},
        {"seat_by": "none", "extra_seats": 1},
        {"seat_by": "none", "trial": True},
        {"seat_by": "session", "max_seats": 1},
        {"seat_by": "user", "max_seats": 1, "trial": True},
        {"seat_by": "device_per_user"},
    ],
    ids=str,
)
async def test_contradictory_fields_are_refused(given: Given, terms: dict[str, Any]) -> None:
    product = await given.product()
    policy_body = {"product": product["code"], "name": "P", **terms}
    problem(await given.client.post("/v1/policies", json=policy_body, headers=given.root), 422, "policy_contradiction")


@pytest.mark.parametrize(
    "terms",
    [
        {"extra_seats": -1}, {"max_seats": 10**20}, {"max_seats": -1}, {"meters": {"a": {"limit": -1}}}, {"meters": {"a": {"limit": None}}},
        {"meters": {"a": {"limit": 1, "per": "week"}}}, {"offline_ttl": "P9000Y"}, {"duration": "P1"}, {"starts": "first_check"},
    ],
    ids=str,
)  # fmt: skip
async def test_values_out_of_range_are_refused_by_name(given: Given, terms: dict[str, Any]) -> None:
    product = await given.product()
    policy_body = {"product": product["code"], "name": "P", "seat_by": "device", "max_seats": 1, **terms}
    refusal = problem(await given.client.post("/v1/policies", json=policy_body, headers=given.root), 422, "malformed")
    assert refusal["errors"][0]["pointer"].startswith("/" + next(iter(terms)))
