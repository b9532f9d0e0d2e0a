"""The dates of a license: frozen at issue, or set by the first activation; grace and renewal."""

from typing import Any

import pytest

from tests.assertions import problem
from tests.given import Given


async def read_license(given: Given, license_: dict[str, Any]) -> dict[str, Any]:
    return given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))


async def issue_waiting(given: Given, **more: Any) -> dict[str, Any]:
    """Issue a license whose clock starts with its first activation."""
    terms = {"seat_by": "device", "max_seats": 2, "starts": "first_activation", "duration": "P1M", "grace": "P7D", **more}
    return await given.license(await given.policy(**terms))


async def test_r12_the_first_activation_starts_the_clock_and_returns_the_dates(given: Given) -> None:
    license_ = await issue_waiting(given)
    assert (license_["starts_at"], license_["expires_at"], license_["status"]) == (None, None, "active")
    given.clock.forward(days=40)
    first = await given.activation(license_)
    assert first["license"]["starts_at"] == "2027-01-01T12:00:00.000Z"
    assert first["license"]["expires_at"] == "2027-02-01T12:00:00.000Z"
    assert first["license"]["grace_until"] == "2027-02-08T12:00:00.000Z"
    given.clock.forward(days=1)
    again = await given.activation(license_, "phone")
    assert again["license"]["expires_at"] == first["license"]["expires_at"]


async def test_r13_validation_and_a_failed_activation_start_no_clock(given: Given) -> None:
    license_ = await issue_waiting(given, max_seats=0)
    body = {"license_key": license_["key"], "product": license_["product"], "device": {"fingerprint": "laptop"}}
    assert (await given.post("/v1/licenses/validate", body, {}))["code"] == "not_activated"
    activate = {"license_key": license_["key"], "device": {"fingerprint": "laptop"}}
    problem(await given.client.post("/v1/activations", json=activate), 409, "seat_limit_reached")
    assert (await read_license(given, license_))["starts_at"] is None


async def test_r14_editing_a_policy_moves_no_dates(given: Given) -> None:
    policy = await given.policy(duration="P1Y", grace="P7D")
    started, unstarted = await given.license(policy), await issue_waiting(given)
    for policy_id in (policy["id"], unstarted["policy_id"]):
        given.expect(await given.client.patch(f"/v1/policies/{policy_id}", json={"duration": "P1D", "grace": None}, headers=given.root))
    assert (await read_license(given, started))["expires_at"] == "2027-11-22T12:00:00.000Z"
    assert (await given.activation(unstarted))["license"]["expires_at"] == "2026-12-22T12:00:00.000Z"


async def test_explicit_dates_replace_the_start_at_first_activation(given: Given) -> None:
    policy = await given.policy(seat_by="device", max_seats=1, starts="first_activation", duration="P1M")
    license_ = await given.license(policy, starts_at="2026-12-01T00:00:00Z")
    assert (license_["status"], license_["expires_at"]) == ("not_started", "2027-01-01T00:00:00.000Z")


async def test_r19_grace_allows_with_a_warning_and_both_dates(given: Given) -> None:
    license_ = await given.license(await given.policy(duration="P1D", grace="P2D"))
    given.clock.forward(days=1)
    result = await given.post("/v1/licenses/validate", {"license_key": license_["key"], "product": license_["product"]}, {})
    assert (result["valid"], result["license"]["status"]) == (True, "in_grace")
    (warning,) = result["warnings"]
    assert warning["code"] == "in_grace"
    assert (warning["expires_at"], warning["grace_until"]) == ("2026-11-23T12:00:00.000Z", "2026-11-25T12:00:00.000Z")
    assert result["check_again_at"] == "2026-11-25T12:00:00.000Z"


@pytest.mark.parametrize(
    ("passed", "expires"),
    [(0, "2027-01-22"), (30, "2027-01-22"), (36, "2027-01-22"), (37, "2027-01-29"), (400, "2028-01-27")],
    ids=["active", "at expiry", "in grace", "after grace", "long after grace"],
)
async def test_r15_a_renewal_counts_from_expiry_or_from_now_after_grace(given: Given, passed: int, expires: str) -> None:
    license_ = await given.license(await given.policy(duration="P1M", grace="P7D"))
    given.clock.forward(days=passed)
    renewed = await given.post(f"/v1/licenses/{license_['id']}/renew", {"reason": "paid"})
    assert renewed["expires_at"][:10] == expires
    assert renewed["status"] == "active"


async def test_r15_a_repeated_renewal_until_a_date_changes_nothing(given: Given) -> None:
    license_ = await given.license(await given.policy(duration="P1M"))
    for _ in range(2):
        renewed = await given.post(f"/v1/licenses/{license_['id']}/renew", {"expires_at": "2027-06-01T00:00:00Z"})
        assert renewed["expires_at"] == "2027-06-01T00:00:00.000Z"


async def test_a_renewal_that_is_impossible_is_refused(given: Given) -> None:
    path = "/v1/licenses/{}/renew"
    perpetual, unstarted = await given.license(), await issue_waiting(given)
    problem(await given.client.post(path.format(perpetual["id"]), headers=given.root), 409, "license_not_renewable")
    problem(await given.client.post(path.format(unstarted["id"]), headers=given.root), 409, "license_clock_not_started")
    far = await given.license(await given.policy(duration="P9Y"), expires_at="9999-01-01T00:00:00Z")
    problem(await given.client.post(path.format(far["id"]), headers=given.root), 422, "license_dates_impossible")


async def test_r16_suspension_does_not_move_the_expiry(given: Given) -> None:
    license_ = await given.license(await given.policy(duration="P1D"))
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    given.clock.forward(days=1)
    assert (await given.post(f"/v1/licenses/{license_['id']}/reinstate"))["status"] == "expired"


async def test_an_operator_can_change_the_expiry(given: Given) -> None:
    license_ = await given.license(await given.policy(duration="P1Y", grace="P7D"))
    path = f"/v1/licenses/{license_['id']}"
    changed = given.expect(await given.client.patch(path, json={"expires_at": "2027-01-01T00:00:00Z"}, headers=given.root))
    assert (changed["expires_at"], changed["grace_until"]) == ("2027-01-01T00:00:00.000Z", "2027-01-08T00:00:00.000Z")
    perpetual = given.expect(await given.client.patch(path, json={"expires_at": None}, headers=given.root))
    assert (perpetual["expires_at"], perpetual["grace_until"]) == (None, None)
    answer = await given.client.patch(path, json={"expires_at": "2020-01-01T00:00:00Z"}, headers=given.root)
    problem(answer, 422, "license_dates_impossible")
    unstarted = await issue_waiting(given)
    answer = await given.client.patch(f"/v1/licenses/{unstarted['id']}", json={"expires_at": None}, headers=given.root)
    problem(answer, 409, "license_clock_not_started")


@pytest.mark.parametrize("starts", ["issue", "first_activation"])
async def test_r11_a_duration_beyond_the_year_9999_is_refused_at_issue(given: Given, starts: str) -> None:
    policy = await given.policy(duration="P8500Y", seat_by="device", max_seats=1, starts=starts)
    answer = await given.client.post("/v1/licenses", json={"policy_id": policy["id"]}, headers=given.root)
    problem(answer, 422, "license_dates_impossible")
    assert given.expect(await given.client.get("/v1/licenses", headers=given.root))["data"] == []
