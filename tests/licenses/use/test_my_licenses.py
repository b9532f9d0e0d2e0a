"""Licenses and seats of an end user without a key: `/v1/me/licenses`, `/v1/me/activations`, activation by assignment."""

from tests.assertions import problem
from tests.given import Given


async def test_an_assigned_user_needs_no_key(given: Given) -> None:
    product = await given.product(requires=["activation"])
    person, stranger = await given.logged_in(), await given.logged_in()
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=2, max_users=3), users=[person.id])
    licenses = given.expect(await given.client.get("/v1/me/licenses", headers=person.auth))
    assert [(row["id"], row["status"]) for row in licenses["data"]] == [(license_["id"], "active")]
    assert "key" not in licenses["data"][0]
    body = {"license_id": license_["id"], "device": {"fingerprint": "laptop", "name": "Olas"}}
    activation = await given.post("/v1/activations", body, person.auth)
    assert (await given.access(product["code"], person, device={"fingerprint": "laptop"}))["allow"]
    problem(await given.client.post("/v1/activations", json=body, headers=stranger.auth), 404, "license_not_found")
    problem(await given.client.post("/v1/activations", json=body), 401, "login_required")
    seats = given.expect(await given.client.get("/v1/me/activations", headers=person.auth))
    assert [(row["id"], row["license_id"], row["name"]) for row in seats["data"]] == [
        (activation["activation"]["id"], license_["id"], "Olas")
    ]
    path = f"/v1/me/activations/{activation['activation']['id']}"
    problem(await given.client.delete(path, headers=stranger.auth), 404, "activation_not_found")
    for _ in range(2):
        assert (await given.client.delete(path, headers=person.auth)).status_code == 204
    assert given.expect(await given.client.get("/v1/me/activations", headers=person.auth))["data"] == []


async def test_my_licenses_are_filtered_by_product(given: Given) -> None:
    person = await given.logged_in()
    one, two = [await given.license(users=[person.id]) for _ in range(2)]
    result = given.expect(await given.client.get(f"/v1/me/licenses?product={one['product']}", headers=person.auth))
    assert [row["id"] for row in result["data"]] == [one["id"]]
    assert len(given.expect(await given.client.get("/v1/me/licenses", headers=person.auth))["data"]) == 2
    assert two["product"] != one["product"]


async def test_two_credentials_at_once_are_refused(given: Given) -> None:
    license_, person = await given.seats(1), await given.logged_in()
    both = {"license_id": license_["id"], "license_key": license_["key"], "device": {"fingerprint": "x"}}
    problem(await given.client.post("/v1/activations", json=both, headers=person.auth), 422, "malformed")


async def test_an_activation_by_key_checks_the_product(given: Given) -> None:
    license_, other = await given.seats(1), await given.product()
    body = {"license_key": license_["key"], "device": {"fingerprint": "x"}}
    problem(await given.client.post("/v1/activations", json={**body, "product": other["code"]}), 404, "license_not_found")
    assert (await given.client.post("/v1/activations", json={**body, "product": license_["product"]})).status_code == 201
