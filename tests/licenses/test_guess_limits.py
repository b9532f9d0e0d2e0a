"""Limits for guessing keys and codes: failures count, successes do not, and every failure looks the same (licensing R52)."""

from typing import Any

import pytest

from app.web.addresses import network_group
from tests.assertions import problem
from tests.given import Given


def wrong_key(number: int) -> str:
    return f"WRONG-KEY-{number:06}"


async def check(given: Given, key: str, product: str) -> Any:
    return await given.client.post("/v1/licenses/validate", json={"license_key": key, "product": product})


async def test_r52_wrong_keys_from_one_address_are_limited_and_correct_ones_are_not(given: Given) -> None:
    license_ = await given.license()
    limit = given.world.settings.guesses_per_address
    for number in range(limit):
        assert (await check(given, wrong_key(number), license_["product"])).json()["code"] == "license_not_found"
    answer = await check(given, wrong_key(limit), license_["product"])
    problem(answer, 429, "too_many_attempts")
    assert 0 < int(answer.headers["retry-after"]) <= 600
    for _ in range(3):
        assert (await check(given, license_["key"], license_["product"])).json()["code"] == "ok"
    problem(await check(given, wrong_key(0), license_["product"]), 429, "too_many_attempts")
    given.clock.forward(seconds=int(answer.headers["retry-after"]))
    assert (await check(given, wrong_key(0), license_["product"])).status_code == 200


async def test_r52_each_wrong_key_has_a_separate_limit(given: Given) -> None:
    license_ = await given.license()
    for _ in range(given.world.settings.guesses_per_key):
        assert (await check(given, wrong_key(1), license_["product"])).status_code == 200
    problem(await check(given, wrong_key(1), license_["product"]), 429, "too_many_attempts")
    assert (await check(given, wrong_key(2), license_["product"])).status_code == 200


@pytest.mark.parametrize("path", ["/v1/activations", "/v1/usage", "/v1/offline-files", "/v1/access"])
async def test_r53_every_call_counts_wrong_keys(given: Given, path: str) -> None:
    """All calls that accept a key share one limit."""
    license_ = await given.license()
    more: dict[str, dict[str, Any]] = {
        "/v1/usage": {"meter": "m"},
        "/v1/activations": {"device": {"fingerprint": "x"}},
        "/v1/access": {"product": license_["product"]},
    }
    for _ in range(given.world.settings.guesses_per_key):
        await given.client.post(path, json={"license_key": wrong_key(7), **more.get(path, {})})
    problem(await given.client.post(path, json={"license_key": wrong_key(7), **more.get(path, {})}), 429, "too_many_attempts")
    problem(await check(given, wrong_key(7), license_["product"]), 429, "too_many_attempts")


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        (None, None, True),
    ],
)
def test_ipv6_addresses_of_one_network_are_counted_together(one: str | None, other: str | None, together: bool) -> None:
    assert (network_group(one) == network_group(other)) is together


async def test_codes_and_keys_have_separate_limits(given: Given) -> None:
    license_ = await given.seats(2)
    code = await given.code(license_)
    body = {"activation_code": "AAAA-AAAA-AAAA", "device": {"fingerprint": "x"}}
    for _ in range(given.world.settings.guesses_per_key):
        problem(await given.client.post("/v1/activations", json=body), 404, "activation_code_invalid")
    problem(await given.client.post("/v1/activations", json=body), 429, "too_many_attempts")
    assert (await given.client.post("/v1/activations", json={**body, "activation_code": code})).status_code == 201


async def test_a_release_with_a_wrong_key_counts_as_a_guess(given: Given) -> None:
    license_ = await given.seats(2, self_service=True)
    activation = await given.activation(license_)
    path = f"/v1/activations/{activation['activation']['id']}"
    for _ in range(given.world.settings.guesses_per_key):
        problem(await given.client.request("DELETE", path, json={"license_key": wrong_key(1)}), 404, "activation_not_found")
    problem(await given.client.request("DELETE", path, json={"license_key": wrong_key(1)}), 429, "too_many_attempts")
    assert (await given.client.request("DELETE", path, json={"license_key": license_["key"]})).status_code == 204


async def test_a_failure_under_an_idempotency_key_counts(given: Given) -> None:
    body = {"license_key": wrong_key(3), "device": {"fingerprint": "x"}}
    for number in range(given.world.settings.guesses_per_key):
        answer = await given.client.post("/v1/activations", json=body, headers={"Idempotency-Key": f"try-{number}"})
        problem(answer, 404, "license_not_found")
    answer = await given.client.post("/v1/activations", json=body, headers={"Idempotency-Key": "try-last"})
    problem(answer, 429, "too_many_attempts")
