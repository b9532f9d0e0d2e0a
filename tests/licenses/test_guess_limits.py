"""licensing R52: failures are counted, success never is; and what fails, fails alike."""

from typing import Any

import pytest

from app.web.callers import network_group
from tests.assertions import problem
from tests.given import Given


def wrong(number: int) -> str:
    return f"WRONG-KEY-{number:06}"


async def check(given: Given, key: str, product: str) -> Any:
    return await given.client.post("/v1/licenses/validate", json={"license_key": key, "product": product})


async def test_r52_wrong_keys_from_one_address_meet_a_wall_and_the_right_one_never_does(given: Given) -> None:
    license_ = await given.license()
    budget = given.world.settings.guesses_per_address
    for number in range(budget):
        assert (await check(given, wrong(number), license_["product"])).json()["code"] == "license_not_found"
    answer = await check(given, wrong(budget), license_["product"])
    problem(answer, 429, "too_many_attempts")
    assert 0 < int(answer.headers["retry-after"]) <= 600
    for _ in range(3):
        assert (await check(given, license_["key"], license_["product"])).json()["code"] == "ok"
    problem(await check(given, wrong(0), license_["product"]), 429, "too_many_attempts")
    given.clock.forward(seconds=int(answer.headers["retry-after"]))
    assert (await check(given, wrong(0), license_["product"])).status_code == 200


async def test_r52_one_wrong_key_has_a_budget_of_its_own(given: Given) -> None:
    license_ = await given.license()
    for _ in range(given.world.settings.guesses_per_key):
        assert (await check(given, wrong(1), license_["product"])).status_code == 200
    problem(await check(given, wrong(1), license_["product"]), 429, "too_many_attempts")
    assert (await check(given, wrong(2), license_["product"])).status_code == 200


@pytest.mark.parametrize("path", ["/v1/activations", "/v1/usage", "/v1/offline-files", "/v1/access"])
async def test_r53_every_path_counts(given: Given, path: str) -> None:
    """Whichever call is used for guessing: they share one budget."""
    license_ = await given.license()
    more: dict[str, dict[str, Any]] = {
        "/v1/usage": {"meter": "m"},
        "/v1/activations": {"device": {"fingerprint": "x"}},
        "/v1/access": {"product": license_["product"]},
    }
    for _ in range(given.world.settings.guesses_per_key):
        await given.client.post(path, json={"license_key": wrong(7), **more.get(path, {})})
    problem(await given.client.post(path, json={"license_key": wrong(7), **more.get(path, {})}), 429, "too_many_attempts")
    problem(await check(given, wrong(7), license_["product"]), 429, "too_many_attempts")


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
def test_a_network_is_what_one_customer_has(one: str | None, other: str | None, together: bool) -> None:
    assert (network_group(one) == network_group(other)) is together


async def test_codes_are_counted_apart_from_keys(given: Given) -> None:
    license_ = await given.seats(2)
    code = await given.code(license_)
    body = {"activation_code": "AAAA-AAAA-AAAA", "device": {"fingerprint": "x"}}
    for _ in range(given.world.settings.guesses_per_key):
        problem(await given.client.post("/v1/activations", json=body), 404, "activation_code_invalid")
    problem(await given.client.post("/v1/activations", json=body), 429, "too_many_attempts")
    assert (await given.client.post("/v1/activations", json={**body, "activation_code": code})).status_code == 201


async def test_giving_back_by_a_wrong_key_is_guessing_too(given: Given) -> None:
    license_ = await given.seats(2, self_service=True)
    held = await given.activation(license_)
    path = f"/v1/activations/{held['activation']['id']}"
    for _ in range(given.world.settings.guesses_per_key):
        problem(await given.client.request("DELETE", path, json={"license_key": wrong(1)}), 404, "activation_not_found")
    problem(await given.client.request("DELETE", path, json={"license_key": wrong(1)}), 429, "too_many_attempts")
    assert (await given.client.request("DELETE", path, json={"license_key": license_["key"]})).status_code == 204


async def test_a_failure_is_counted_under_an_idempotency_key_too(given: Given) -> None:
    body = {"license_key": wrong(3), "device": {"fingerprint": "x"}}
    for number in range(given.world.settings.guesses_per_key):
        answer = await given.client.post("/v1/activations", json=body, headers={"Idempotency-Key": f"try-{number}"})
        problem(answer, 404, "license_not_found")
    answer = await given.client.post("/v1/activations", json=body, headers={"Idempotency-Key": "try-last"})
    problem(answer, 429, "too_many_attempts")
