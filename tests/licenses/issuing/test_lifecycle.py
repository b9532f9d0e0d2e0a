"""Operators' actions on issued licenses: each records one event, and each is refused where it is impossible."""

from typing import Any

import pytest
from sqlalchemy import select

from app.events.models import Event
from tests.assertions import problem
from tests.given import Given


async def events(given: Given, license_: dict[str, Any]) -> list[str]:
    async with given.world.db.query() as tx:
        types = await tx.scalars(select(Event.type).where(Event.subject_type == "license").order_by(Event.id))
        return [kind for kind in types.all() if kind != "license.issued"]


async def read_license(given: Given, license_: dict[str, Any]) -> dict[str, Any]:
    return given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))


@pytest.mark.parametrize(
    ("action", "event"), [("suspend", "license.suspended"), ("revoke", "license.revoked"), ("reinstate", "license.reinstated")]
)
async def test_a_repeated_action_records_one_event(given: Given, action: str, event: str) -> None:
    license_ = await given.license()
    if action == "reinstate":
        await given.post(f"/v1/licenses/{license_['id']}/suspend")
    for _ in range(3):
        await given.post(f"/v1/licenses/{license_['id']}/{action}", {"reason": "so"})
    assert (await events(given, license_)).count(event) == 1


async def test_r50_rotation_changes_only_the_key(given: Given) -> None:
    license_ = await given.seats(1, meters={"export": {"limit": 5}})
    activation = await given.activation(license_)
    await given.post("/v1/usage", {"license_key": license_["key"], "meter": "export", "add": 2}, {})
    path = f"/v1/licenses/{license_['id']}/rotate-key"
    keyed = {**given.root, "Idempotency-Key": "rotate-1"}
    first = given.expect(await given.client.post(path, headers=keyed))
    assert given.expect(await given.client.post(path, headers=keyed)) == first
    request_body = {"product": license_["product"], "device": {"fingerprint": "laptop"}}
    assert (await given.post("/v1/licenses/validate", {**request_body, "license_key": license_["key"]}, {}))["code"] == "license_not_found"
    result = await given.post("/v1/licenses/validate", {**request_body, "license_key": first["key"]}, {})
    assert (result["code"], result["license"]["id"], result["license"]["seats"]["used"]) == ("ok", license_["id"], 1)
    assert first["usage"]["export"]["used"] == 2
    assert first["key_last4"] == first["key"][-4:]
    heartbeat = f"/v1/activations/{activation['activation']['id']}/heartbeat"
    assert (await given.client.post(heartbeat, headers={"Authorization": f"Bearer {activation['token']}"})).status_code == 200
    assert (await events(given, license_)) == ["license.key_rotated"]


async def test_a_transfer_changes_only_the_customer(given: Given) -> None:
    license_ = await given.seats(1)
    await given.activation(license_)
    customer = await given.post("/v1/customers", {"name": "Ødegård AS"})
    path = f"/v1/licenses/{license_['id']}/transfer"
    for _ in range(2):
        moved = await given.post(path, {"customer_id": customer["id"]})
        assert (moved["customer_id"], moved["seats"]["used"]) == (customer["id"], 1)
    assert (await given.post(path, {"customer_id": None}))["customer_id"] is None
    assert await events(given, license_) == ["license.transferred", "license.transferred"]
    answer = await given.client.post(path, json={"customer_id": license_["id"]}, headers=given.root)
    problem(answer, 404, "customer_not_found")
    problem(await given.client.post(path, json={}, headers=given.root), 422, "malformed")


async def test_a_policy_that_counts_seats_alike_keeps_the_seats(given: Given) -> None:
    product = await given.product()
    one, three = [await given.policy(product, seat_by="device", max_seats=limit, duration="P1Y") for limit in (1, 3)]
    license_ = await given.license(one)
    await given.activation(license_)
    path = f"/v1/licenses/{license_['id']}/change-policy"
    for _ in range(2):
        changed = await given.post(path, {"policy_id": three["id"]})
        assert (changed["policy_id"], changed["seats"]) == (three["id"], {"used": 1, "limit": 3})
        assert changed["expires_at"] == license_["expires_at"]
    assert await events(given, license_) == ["license.policy_changed"]


async def test_a_policy_change_can_reset_the_dates(given: Given) -> None:
    product = await given.product()
    year = await given.policy(product, seat_by="device", max_seats=1, duration="P1Y")
    month = await given.policy(product, seat_by="device", max_seats=1, duration="P1M", starts="first_activation")
    used, unused = await given.license(year), await given.license(year)
    await given.activation(used)
    given.clock.forward(days=10)
    for license_, expires in ((used, "2027-01-02T12:00:00.000Z"), (unused, None)):
        path = f"/v1/licenses/{license_['id']}/change-policy"
        changed = await given.post(path, {"policy_id": month["id"], "expiry": "reset"})
        assert changed["expires_at"] == expires
    assert (await given.activation(unused))["license"]["expires_at"] == "2027-01-02T12:00:00.000Z"


async def test_a_policy_that_counts_seats_differently_releases_the_seats(given: Given) -> None:
    product = await given.product()
    devices = await given.policy(product, seat_by="device", max_seats=2)
    by_user = await given.policy(product, seat_by="user", max_seats=2)
    license_ = await given.license(devices)
    activation = await given.activation(license_)
    changed = await given.post(f"/v1/licenses/{license_['id']}/change-policy", {"policy_id": by_user["id"]})
    assert changed["seats"]["used"] == 0
    heartbeat = f"/v1/activations/{activation['activation']['id']}/heartbeat"
    answer = await given.client.post(heartbeat, headers={"Authorization": f"Bearer {activation['token']}"})
    problem(answer, 401, "token_invalid")
    released = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}/activations?live=false", headers=given.root))
    assert released["data"][0]["release_reason"] == "policy_changed"


async def test_the_new_policy_must_be_of_the_product_and_fit_the_overrides(given: Given) -> None:
    product = await given.product()
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1), overrides={"max_seats": 5})
    path = f"/v1/licenses/{license_['id']}/change-policy"
    elsewhere, seatless = await given.policy(), await given.policy(product)
    problem(await given.client.post(path, json={"policy_id": elsewhere["id"]}, headers=given.root), 409, "policy_of_another_product")
    problem(await given.client.post(path, json={"policy_id": seatless["id"]}, headers=given.root), 422, "policy_contradiction")
    problem(await given.client.post(path, json={"policy_id": license_["id"]}, headers=given.root), 404, "policy_not_found")


async def test_a_revoked_license_cannot_be_changed(given: Given) -> None:
    license_, person = await given.seats(1), await given.person()
    activation = await given.activation(license_)
    path = f"/v1/licenses/{license_['id']}"
    await given.post(f"{path}/revoke")
    bodies: dict[str, Any] = {
        "suspend": {}, "reinstate": {}, "renew": {}, "rotate-key": {}, "transfer": {"customer_id": None},
        "change-policy": {"policy_id": license_["policy_id"]}, "activation-codes": {},
    }  # fmt: skip
    for action, body in bodies.items():
        problem(await given.client.post(f"{path}/{action}", json=body, headers=given.root), 403, "license_revoked")
    problem(await given.client.put(f"{path}/users/{person.id}", headers=given.root), 403, "license_revoked")
    assert (await given.client.delete(f"{path}/users/{person.id}", headers=given.root)).status_code == 204
    released = await given.client.delete(
        f"/v1/activations/{activation['activation']['id']}", headers={"Authorization": f"Bearer {activation['token']}"}
    )
    assert released.status_code == 204


async def test_overrides_add_replace_and_remove_values_immediately(given: Given) -> None:
    features, meters = {"export": True, "tier": "pro"}, {"export": {"limit": 1, "per": "day"}}
    policy = await given.policy(seat_by="device", max_seats=1, features=features, meters=meters, requires=["license"])
    overrides = {"max_seats": "unlimited", "features": {"tier": None, "cloud": 5}, "meters": {"export": {"limit": 3}}, "self_service": True}
    license_ = await given.license(policy, overrides=overrides)
    assert license_["overrides"] == overrides
    assert license_["features"] == {"export": True, "cloud": 5}
    assert license_["seats"]["limit"] == "unlimited"
    assert license_["usage"]["export"]["limit"] == 3
    path = f"/v1/licenses/{license_['id']}"
    changed = given.expect(await given.client.patch(path, json={"overrides": {"max_seats": 0}}, headers=given.root))
    assert (changed["overrides"], changed["seats"]["limit"], changed["features"]) == ({"max_seats": 0}, 0, features)
    cleared = given.expect(await given.client.patch(path, json={"overrides": {}}, headers=given.root))
    assert cleared["seats"]["limit"] == 1
    for invalid in ({"max_seats": None}, {"max_seats": -1}, {"lease": None}, {"shoe": 1}, {"features": {"a": False}}):
        problem(await given.client.patch(path, json={"overrides": invalid}, headers=given.root), 422, "malformed")


async def test_a_license_can_add_requirements_to_those_of_its_policy(given: Given) -> None:
    product = await given.product(requires=["license"])
    license_ = await given.license(await given.policy(product), overrides={"requires": ["second_factor"]})
    assert (await given.access(product["code"], license_key=license_["key"]))["code"] == "login_required"
    answer = await given.client.patch(
        f"/v1/licenses/{license_['id']}", json={"overrides": {"requires": ["activation"]}}, headers=given.root
    )
    problem(answer, 422, "requirement_impossible")
