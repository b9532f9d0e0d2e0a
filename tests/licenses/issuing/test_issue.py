"""Issuing and changing licenses as an operator."""

import pytest

from tests.assertions import problem
from tests.given import Given


async def test_r51_a_license_is_usable_when_the_call_returns(given: Given) -> None:
    policy = await given.policy(duration="P1Y", grace="P14D", features={"export": True, "seats": 5, "tier": "pro"})
    license_ = await given.license(policy)
    assert (license_["status"], license_["starts_at"], license_["expires_at"], license_["grace_until"]) == (
        "active", "2026-11-22T12:00:00.000Z", "2027-11-22T12:00:00.000Z", "2027-12-06T12:00:00.000Z",
    )  # fmt: skip
    checked = await given.post("/v1/licenses/validate", {"license_key": license_["key"], "product": policy["product"]}, {})
    assert (checked["valid"], checked["code"], checked["license"]["features"]) == (True, "ok", policy["features"])


async def test_the_key_is_shown_only_once(given: Given) -> None:
    license_ = await given.license()
    for path in (f"/v1/licenses/{license_['id']}", "/v1/licenses", f"/v1/licenses?key_last4={license_['key_last4']}"):
        answer = await given.client.get(path, headers=given.root)
        assert license_["id"] in answer.text
        assert license_["key"] not in answer.text


async def test_r14_a_policy_change_applies_to_limits_and_not_to_dates(given: Given) -> None:
    policy = await given.policy(duration="P1Y", seat_by="device", max_seats=3)
    license_ = await given.license(policy)
    given.expect(
        await given.client.patch(
            f"/v1/policies/{policy['id']}",
            json={"duration": "P1M", "max_seats": "unlimited", "features": {"new": True}},
            headers=given.root,
        )
    )
    now = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))
    assert now["expires_at"] == license_["expires_at"]
    assert (now["seats"]["limit"], now["features"]) == ("unlimited", {"new": True})


@pytest.mark.parametrize(
    "body",
    [
        {"starts_at": "2026-11-22T12:00:00Z", "expires_at": "2026-11-22T12:00:00Z"},
        {"starts_at": "9999-12-31T00:00:00Z"},
    ],
)
async def test_impossible_dates_are_refused(given: Given, body: dict[str, str]) -> None:
    policy = await given.policy(duration="P1Y")
    answer = await given.client.post("/v1/licenses", json={"policy_id": policy["id"], **body}, headers=given.root)
    problem(answer, 422, "license_dates_impossible")


@pytest.mark.parametrize(
    "moment", ["2026-11-22", "2026-11-22T12:00:00", "yesterday", 1700000000, "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00"]
)
async def test_r10_a_timestamp_must_have_an_offset(given: Given, moment: object) -> None:
    policy = await given.policy()
    answer = await given.client.post("/v1/licenses", json={"policy_id": policy["id"], "starts_at": moment}, headers=given.root)
    refusal = problem(answer, 422, "malformed")
    assert refusal["errors"][0]["pointer"] == "/starts_at"


async def test_the_status_does_not_depend_on_the_time_zone_of_the_request(given: Given) -> None:
    policy = await given.policy()
    license_ = await given.license(policy, starts_at="2026-11-01T00:00:00-11:00", expires_at="2026-11-23T01:00:00+13:00")
    assert license_["expires_at"] == "2026-11-22T12:00:00.000Z"
    assert license_["status"] == "expired"


async def test_the_policy_customer_and_users_must_exist(given: Given) -> None:
    unknown = "01a20425-e3be-7668-b49e-2764d5846dd4"
    policy = await given.policy()
    for body, code in (
        ({"policy_id": unknown}, "policy_not_found"),
        ({"policy_id": policy["id"], "customer_id": unknown}, "customer_not_found"),
        ({"policy_id": policy["id"], "users": [unknown]}, "user_not_found"),
    ):
        problem(await given.client.post("/v1/licenses", json=body, headers=given.root), 404, code)
    assert given.expect(await given.client.get("/v1/licenses", headers=given.root))["data"] == []


async def test_an_external_id_is_unique_and_finds_the_license(given: Given) -> None:
    policy = await given.policy()
    license_ = await given.license(policy, external_id="order-1")
    answer = await given.client.post("/v1/licenses", json={"policy_id": policy["id"], "external_id": "order-1"}, headers=given.root)
    problem(answer, 409, "license_external_id_taken")
    matches = given.expect(await given.client.get("/v1/licenses?external_id=order-1", headers=given.root))
    assert [row["id"] for row in matches["data"]] == [license_["id"]]


async def test_r49_support_finds_a_license_by_its_key_as_it_was_typed(given: Given) -> None:
    license_ = await given.license()
    match = await given.post("/v1/licenses/lookup", {"license_key": " " + license_["key"].lower().replace("-", " ") + " "})
    assert match["id"] == license_["id"]
    answer = await given.client.post("/v1/licenses/lookup", json={"license_key": "nonsense"}, headers=given.root)
    problem(answer, 404, "license_not_found")


async def test_suspend_reinstate_and_revoke_are_idempotent_and_keep_the_first_time(given: Given) -> None:
    license_ = await given.license()
    path = f"/v1/licenses/{license_['id']}"
    first = await given.post(f"{path}/suspend", {"reason": "unpaid"})
    given.clock.forward(hours=1)
    again = await given.post(f"{path}/suspend")
    assert (first["status"], again["suspended_at"]) == ("suspended", first["suspended_at"])
    assert (await given.post(f"{path}/reinstate"))["status"] == "active"
    assert (await given.post(f"{path}/revoke"))["status"] == "revoked"
    assert (await given.post(f"{path}/revoke"))["status"] == "revoked"
    for action in ("suspend", "reinstate", "renew", "rotate-key"):
        problem(await given.client.post(f"{path}/{action}", headers=given.root), 403, "license_revoked")


async def test_r31_removing_a_user_releases_that_users_seats(given: Given) -> None:
    license_ = await given.seats(2)
    person = await given.logged_in()
    user = f"/v1/licenses/{license_['id']}/users/{person.id}"
    given.expect(await given.client.put(user, headers=given.root))
    body = {"license_key": license_["key"], "device": {"fingerprint": "laptop"}}
    await given.post("/v1/activations", body, person.auth)
    for _ in range(2):
        assert (await given.client.delete(user, headers=given.root)).status_code == 204
    now = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))
    assert (now["users"], now["seats"]["used"]) == ([], 0)


async def test_r30_a_user_counts_once_and_the_limit_holds(given: Given) -> None:
    license_ = await given.license(await given.policy(max_users=1))
    one, two = await given.person(), await given.person()
    path = f"/v1/licenses/{license_['id']}/users"
    for _ in range(2):
        assert given.expect(await given.client.put(f"{path}/{one.id}", headers=given.root))["users"] == [one.id]
    problem(await given.client.put(f"{path}/{two.id}", headers=given.root), 409, "user_limit_reached")
