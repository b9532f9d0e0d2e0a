"""Faults that reviews found, one test per fault."""

import pytest

from tests.assertions import problem
from tests.given import Given


async def test_r7_the_activation_token_of_a_suspended_users_seat_is_refused(given: Given) -> None:
    """The account is closed, and the activation token must not bypass that."""
    license_ = await given.license(await given.policy(seat_by="user", max_seats=1, meters={"export": {"limit": 1}}))
    person = await given.logged_in()
    activated = await given.post("/v1/activations", {"license_key": license_["key"]}, person.auth)
    seat = {"Authorization": f"Bearer {activated['token']}"}
    await given.post(f"/v1/users/{person.id}/suspend")
    heartbeat = f"/v1/activations/{activated['activation']['id']}/heartbeat"
    problem(await given.client.post(heartbeat, headers=seat), 403, "user_disabled")
    problem(await given.client.post("/v1/usage", json={"meter": "export"}, headers=seat), 403, "user_disabled")
    problem(await given.client.post("/v1/offline-files", json={}, headers=seat), 403, "user_disabled")
    assert (await given.post("/v1/access", {"product": license_["product"]}, seat))["code"] == "user_disabled"
    assert (await given.client.delete(heartbeat.removesuffix("/heartbeat"), headers=seat)).status_code == 204


async def test_r31_removing_a_user_who_was_never_assigned_releases_the_seat(given: Given) -> None:
    license_ = await given.license(await given.policy(seat_by="user", max_seats=1))
    person = await given.logged_in()
    await given.post("/v1/activations", {"license_key": license_["key"]}, person.auth)
    await given.client.delete(f"/v1/licenses/{license_['id']}/users/{person.id}", headers=given.root)
    assert given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))["seats"]["used"] == 0


async def test_usage_needs_a_login_for_user_seats_and_a_started_license(given: Given) -> None:
    meters = {"export": {"limit": 5, "per": "month"}}
    user_seats = await given.license(await given.policy(seat_by="user", max_seats=1, meters=meters))
    unstarted = await given.license(await given.policy(seat_by="device", max_seats=1, starts="first_activation", meters=meters))
    problem(await given.client.post("/v1/usage", json={"license_key": user_seats["key"], "meter": "export"}), 401, "login_required")
    problem(await given.client.post("/v1/usage", json={"license_key": unstarted["key"], "meter": "export"}), 403, "not_activated")
    await given.activation(unstarted)
    assert (await given.client.post("/v1/usage", json={"license_key": unstarted["key"], "meter": "export"})).status_code == 200


async def test_a_waiting_clock_starts_if_the_new_policy_does_not_wait(given: Given) -> None:
    product = await given.product()
    waiting = await given.policy(product, seat_by="device", max_seats=1, starts="first_activation", duration="P1M")
    license_ = await given.license(waiting)
    key_only = await given.policy(product, duration="P1Y")
    changed = await given.post(f"/v1/licenses/{license_['id']}/change-policy", {"policy_id": key_only["id"]})
    assert (changed["starts_at"], changed["expires_at"]) == ("2026-11-22T12:00:00.000Z", "2027-11-22T12:00:00.000Z")


async def test_r15_a_renewal_during_a_long_grace_period_ends_in_the_future(given: Given) -> None:
    license_ = await given.license(await given.policy(duration="P1M", grace="P1Y"), starts_at="2026-01-01T00:00:00Z")
    renewed = await given.post(f"/v1/licenses/{license_['id']}/renew")
    assert (renewed["status"], renewed["expires_at"]) == ("active", "2026-12-22T12:00:00.000Z")


async def test_an_activated_device_uses_no_code_and_can_return_with_its_own_code(given: Given) -> None:
    license_ = await given.seats(2, lease="PT1H")
    await given.activation(license_)
    code = await given.code(license_)
    by_code = {"activation_code": code, "device": {"fingerprint": "laptop"}}
    assert (await given.client.post("/v1/activations", json=by_code)).status_code == 200
    phone = {"activation_code": code, "device": {"fingerprint": "phone"}}
    assert (await given.client.post("/v1/activations", json=phone)).status_code == 201
    problem(await given.client.post("/v1/activations", json=by_code), 410, "activation_code_spent")
    given.clock.forward(hours=1)
    assert (await given.client.post("/v1/activations", json=phone)).status_code == 201


async def test_a_logged_in_user_can_release_a_seat_by_license_key(given: Given) -> None:
    license_, person = await given.seats(1, self_service=True), await given.logged_in()
    activation = await given.activation(license_)
    path = f"/v1/activations/{activation['activation']['id']}"
    answer = await given.client.request("DELETE", path, json={"license_key": license_["key"]}, headers=person.auth)
    assert answer.status_code == 204


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/policies", {"max_seats": -1, "seat_by": "device"}, "/max_seats"),
        ("/v1/policies", {"meters": {"a": {"limit": -1}}}, "/meters/a/limit"),
        ("/v1/policies", {"lease": "PT1H"}, "/lease"),
        ("/v1/policies", {"requires": ["passkey"]}, "/requires"),
        ("/v1/licenses", {"overrides": {"max_seats": -1}}, "/overrides/max_seats"),
        ("/v1/licenses", {"overrides": {"max_seats": 1}}, "/overrides/max_seats"),
        ("/v1/licenses", {"starts_at": "2027-01-01T00:00:00Z", "expires_at": "2026-12-01T00:00:00Z"}, "/expires_at"),
    ],
    ids=str,
)
async def test_every_422_names_its_field(given: Given, path: str, body: dict[str, object], pointer: str) -> None:
    policy = await given.policy()
    base = {"product": policy["product"], "name": "P"} if path == "/v1/policies" else {"policy_id": policy["id"]}
    answer = await given.client.post(path, json={**base, **body}, headers=given.root)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_invisible_and_wide_characters_of_a_vendor_key_are_ignored(given: Given) -> None:
    policy = await given.policy()
    license_ = await given.license(policy, key="Leg\u200bacy\u00ad-\uff37\uff38\uff39\uff3a")
    result = await given.post("/v1/licenses/validate", {"license_key": "legacywxyz", "product": policy["product"]}, {})
    assert (result["code"], license_["key_last4"]) == ("ok", "WXYZ")


async def test_changing_the_period_of_a_meter_starts_a_new_count(given: Given) -> None:
    given.clock.forward(days=9)  # the first of December: a day and a month start together
    policy = await given.policy(meters={"export": {"limit": 5, "per": "month"}})
    license_ = await given.license(policy)
    await given.post("/v1/usage", {"license_key": license_["key"], "meter": "export", "add": 3}, {})
    meters = {"meters": {"export": {"limit": 5, "per": "day"}}}
    given.expect(await given.client.patch(f"/v1/policies/{policy['id']}", json=meters, headers=given.root))
    assert (await given.post("/v1/usage", {"license_key": license_["key"], "meter": "export", "add": 0}, {}))["used"] == 0


async def test_a_code_that_has_already_expired_is_refused(given: Given) -> None:
    license_ = await given.seats(1)
    answer = await given.client.post(
        f"/v1/licenses/{license_['id']}/activation-codes", json={"expires_at": "2026-11-22T12:00:00Z"}, headers=given.root
    )
    assert problem(answer, 422, "malformed")["errors"][0]["pointer"] == "/expires_at"
