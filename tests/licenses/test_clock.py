"""When a license starts and ends: dates frozen, the first activation, grace, renewal."""

from typing import Any

import pytest

from tests.assertions import problem
from tests.given import Given


async def shown(given: Given, license_: dict[str, Any]) -> dict[str, Any]:
    return given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))


async def waiting(given: Given, **more: Any) -> dict[str, Any]:
    """A license whose clock starts with its first activation."""
    terms = {"seat_by": "device", "max_seats": 2, "starts": "first_activation", "duration": "P1M", "grace": "P7D", **more}
    return await given.license(await given.policy(**terms))


async def test_r12_the_first_activation_starts_the_clock_in_its_own_answer(given: Given) -> None:
    license_ = await waiting(given)
    assert (license_["starts_at"], license_["expires_at"], license_["status"]) == (None, None, "active")
    given.clock.forward(days=40)
    held = await given.activation(license_)
    assert held["license"]["starts_at"] == "2027-01-01T12:00:00.000Z"
    assert held["license"]["expires_at"] == "2027-02-01T12:00:00.000Z"
    assert held["license"]["grace_until"] == "2027-02-08T12:00:00.000Z"
    given.clock.forward(days=1)
    again = await given.activation(license_, "phone")
    assert again["license"]["expires_at"] == held["license"]["expires_at"]


async def test_r13_a_check_starts_no_clock_and_neither_does_a_seat_that_fails(given: Given) -> None:
    license_ = await waiting(given, max_seats=0)
    asked = {"license_key": license_["key"], "product": license_["product"], "device": {"fingerprint": "laptop"}}
    assert (await given.post("/v1/licenses/validate", asked, {}))["code"] == "not_activated"
    taking = {"license_key": license_["key"], "device": {"fingerprint": "laptop"}}
    problem(await given.client.post("/v1/activations", json=taking), 409, "seat_limit_reached")
    assert (await shown(given, license_))["starts_at"] is None


async def test_r14_editing_a_policy_moves_no_dates(given: Given) -> None:
    policy = await given.policy(duration="P1Y", grace="P7D")
    started, early = await given.license(policy), await waiting(given)
    for changed in (policy["id"], early["policy_id"]):
        given.expect(await given.client.patch(f"/v1/policies/{changed}", json={"duration": "P1D", "grace": None}, headers=given.root))
    assert (await shown(given, started))["expires_at"] == "2027-11-22T12:00:00.000Z"
    assert (await given.activation(early))["license"]["expires_at"] == "2026-12-22T12:00:00.000Z"


async def test_explicit_dates_leave_nothing_to_start(given: Given) -> None:
    policy = await given.policy(seat_by="device", max_seats=1, starts="first_activation", duration="P1M")
    made = await given.license(policy, starts_at="2026-12-01T00:00:00Z")
    assert (made["status"], made["expires_at"]) == ("not_started", "2027-01-01T00:00:00.000Z")


async def test_r19_grace_allows_with_a_warning_and_both_dates(given: Given) -> None:
    license_ = await given.license(await given.policy(duration="P1D", grace="P2D"))
    given.clock.forward(days=1)
    told = await given.post("/v1/licenses/validate", {"license_key": license_["key"], "product": license_["product"]}, {})
    assert (told["valid"], told["license"]["status"]) == (True, "in_grace")
    (warned,) = told["warnings"]
    assert warned["code"] == "in_grace"
    assert (warned["expires_at"], warned["grace_until"]) == ("2026-11-23T12:00:00.000Z", "2026-11-25T12:00:00.000Z")
    assert told["check_again_at"] == "2026-11-25T12:00:00.000Z"


@pytest.mark.parametrize(
    ("passed", "expires"),
    [(0, "2027-01-22"), (30, "2027-01-22"), (36, "2027-01-22"), (37, "2027-01-29"), (400, "2028-01-27")],
    ids=["active", "at expiry", "in grace", "run out", "long dead"],
)
async def test_r15_a_renewal_counts_from_expiry_or_from_now_if_run_out(given: Given, passed: int, expires: str) -> None:
    license_ = await given.license(await given.policy(duration="P1M", grace="P7D"))
    given.clock.forward(days=passed)
    renewed = await given.post(f"/v1/licenses/{license_['id']}/renew", {"reason": "paid"})
    assert renewed["expires_at"][:10] == expires
    assert renewed["status"] == "active"


async def test_r15_a_renewal_until_an_instant_is_harmless_again(given: Given) -> None:
    license_ = await given.license(await given.policy(duration="P1M"))
    for _ in range(2):
        renewed = await given.post(f"/v1/licenses/{license_['id']}/renew", {"expires_at": "2027-06-01T00:00:00Z"})
        assert renewed["expires_at"] == "2027-06-01T00:00:00.000Z"


async def test_a_renewal_needs_something_to_renew(given: Given) -> None:
    path = "/v1/licenses/{}/renew"
    perpetual, early = await given.license(), await waiting(given)
    problem(await given.client.post(path.format(perpetual["id"]), headers=given.root), 409, "license_not_renewable")
    problem(await given.client.post(path.format(early["id"]), headers=given.root), 409, "license_clock_not_started")
    far = await given.license(await given.policy(duration="P9Y"), expires_at="9999-01-01T00:00:00Z")
    problem(await given.client.post(path.format(far["id"]), headers=given.root), 422, "license_dates_impossible")


async def test_r16_suspension_stops_no_clock(given: Given) -> None:
    license_ = await given.license(await given.policy(duration="P1D"))
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    given.clock.forward(days=1)
    assert (await given.post(f"/v1/licenses/{license_['id']}/reinstate"))["status"] == "expired"


async def test_an_operator_may_move_the_expiry(given: Given) -> None:
    license_ = await given.license(await given.policy(duration="P1Y", grace="P7D"))
    path = f"/v1/licenses/{license_['id']}"
    moved = given.expect(await given.client.patch(path, json={"expires_at": "2027-01-01T00:00:00Z"}, headers=given.root))
    assert (moved["expires_at"], moved["grace_until"]) == ("2027-01-01T00:00:00.000Z", "2027-01-08T00:00:00.000Z")
    forever = given.expect(await given.client.patch(path, json={"expires_at": None}, headers=given.root))
    assert (forever["expires_at"], forever["grace_until"]) == (None, None)
    answer = await given.client.patch(path, json={"expires_at": "2020-01-01T00:00:00Z"}, headers=given.root)
    problem(answer, 422, "license_dates_impossible")
    early = await waiting(given)
    answer = await given.client.patch(f"/v1/licenses/{early['id']}", json={"expires_at": None}, headers=given.root)
    problem(answer, 409, "license_clock_not_started")


@pytest.mark.parametrize("starts", ["issue", "first_activation"])
async def test_r11_a_duration_past_the_calendar_is_refused_at_issue(given: Given, starts: str) -> None:
    policy = await given.policy(duration="P8500Y", seat_by="device", max_seats=1, starts=starts)
    answer = await given.client.post("/v1/licenses", json={"policy_id": policy["id"]}, headers=given.root)
    problem(answer, 422, "license_dates_impossible")
    assert given.expect(await given.client.get("/v1/licenses", headers=given.root))["data"] == []
