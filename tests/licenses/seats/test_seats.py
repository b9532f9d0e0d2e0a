"""Activating devices, renewing leases and releasing seats."""

import pytest
from sqlalchemy import func, select

from app.events.models import Event
from app.licenses.models import Activation
from tests.assertions import problem
from tests.given import Given


def body(license_: dict[str, object], fingerprint: str = "laptop") -> dict[str, object]:
    return {"license_key": license_["key"], "device": {"fingerprint": fingerprint}}


async def test_r25_a_device_with_a_seat_activates_again_at_no_cost_even_when_full(given: Given) -> None:
    license_ = await given.seats(1)
    first = await given.client.post("/v1/activations", json=body(license_))
    again = await given.client.post("/v1/activations", json=body(license_))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["token"] == again.json()["token"]
    assert again.json()["seats"] == {"used": 1, "limit": 1}
    refusal = problem(await given.client.post("/v1/activations", json=body(license_, "phone")), 409, "seat_limit_reached")
    assert refusal["seats"] == {"used": 1, "limit": 1}
    assert "activations" not in refusal


async def test_a_self_service_policy_lists_the_occupied_seats(given: Given) -> None:
    license_ = await given.seats(1, self_service=True)
    activation = await given.activation(license_, name="Olas laptop")
    refusal = problem(await given.client.post("/v1/activations", json=body(license_, "phone")), 409, "seat_limit_reached")
    assert [(seat["id"], seat["name"]) for seat in refusal["activations"]] == [(activation["activation"]["id"], "Olas laptop")]


async def test_r26_a_released_device_returns_to_its_row_with_a_new_token(given: Given) -> None:
    license_ = await given.seats(1)
    first = await given.activation(license_)
    path, auth = f"/v1/activations/{first['activation']['id']}", {"Authorization": f"Bearer {first['token']}"}
    for _ in range(2):
        assert (await given.client.delete(path, headers=auth)).status_code == 204
    problem(await given.client.post(f"{path}/heartbeat", headers=auth), 401, "token_invalid")
    answer = await given.client.post("/v1/activations", json=body(license_))
    assert answer.status_code == 201
    assert answer.json()["activation"]["id"] == first["activation"]["id"]
    assert answer.json()["token"] != first["token"]
    assert (await given.client.post(f"{path}/heartbeat", headers=auth)).status_code == 401


async def test_only_an_entitled_caller_can_release_a_seat(given: Given) -> None:
    license_, other = await given.seats(3, self_service=True), await given.seats(3)
    person, stranger = await given.logged_in(), await given.logged_in()
    own_seat = await given.post("/v1/activations", body(license_), person.auth)
    other_seat = await given.activation(other)
    path = f"/v1/activations/{own_seat['activation']['id']}"
    other_auth = {"Authorization": f"Bearer {other_seat['token']}"}
    for auth in (stranger.auth, other_auth, {}):
        problem(await given.client.delete(path, headers=auth), 404, "activation_not_found")
    problem(await given.client.delete(path, headers=await given.operator("users:write")), 403, "scope_missing")
    refused = await given.client.request("DELETE", path, json={"license_key": other["key"]})
    problem(refused, 404, "activation_not_found")
    assert (await given.client.request("DELETE", path, json={"license_key": license_["key"]})).status_code == 204
    by_key = await given.client.request("DELETE", f"/v1/activations/{other_seat['activation']['id']}", json={"license_key": other["key"]})
    problem(by_key, 404, "activation_not_found")
    assert (await given.client.delete(path, headers=person.auth)).status_code == 204
    assert (await given.client.delete(path, headers=given.root)).status_code == 204


@pytest.mark.parametrize(("action", "code"), [("suspend", "license_suspended"), ("revoke", "license_revoked")])
async def test_r2_r3_an_invalid_license_is_refused_on_every_path_but_release(given: Given, action: str, code: str) -> None:
    license_ = await given.seats(2)
    activation = await given.activation(license_)
    auth, path = {"Authorization": f"Bearer {activation['token']}"}, f"/v1/activations/{activation['activation']['id']}"
    activation_code = await given.code(license_)
    await given.post(f"/v1/licenses/{license_['id']}/{action}")
    checked = await given.post("/v1/licenses/validate", {**body(license_), "product": license_["product"]}, {})
    assert (checked["valid"], checked["code"]) == (False, code)
    assert (await given.access(license_["product"], license_key=license_["key"]))["code"] == code
    problem(await given.client.post("/v1/activations", json=body(license_)), 403, code)
    problem(await given.client.post("/v1/activations", json=body(license_, "phone")), 403, code)
    by_code = {"activation_code": activation_code, "device": {"fingerprint": "x"}}
    problem(await given.client.post("/v1/activations", json=by_code), 403, code)
    problem(await given.client.post(f"{path}/heartbeat", headers=auth), 403, code)
    assert (await given.client.delete(path, headers=auth)).status_code == 204


async def test_expired_and_unstarted_licenses_are_refused(given: Given) -> None:
    policy = await given.policy(seat_by="device", max_seats=2)
    unstarted = await given.license(policy, starts_at="2026-11-22T12:00:01Z")
    expired = await given.license(policy, starts_at="2026-11-01T00:00:00Z", expires_at="2026-11-22T12:00:00Z")
    problem(await given.client.post("/v1/activations", json=body(unstarted)), 403, "license_not_started")
    problem(await given.client.post("/v1/activations", json=body(expired)), 403, "license_expired")
    given.clock.forward(seconds=1)
    assert (await given.client.post("/v1/activations", json=body(unstarted))).status_code == 201


async def test_r21_r24_an_expired_lease_frees_the_seat_and_its_device_returns_to_its_row(given: Given) -> None:
    license_ = await given.seats(1, lease="PT30M")
    first = await given.activation(license_)
    assert first["activation"]["lease_expires_at"] == "2026-11-22T12:30:00.000Z"
    problem(await given.client.post("/v1/activations", json=body(license_, "phone")), 409, "seat_limit_reached")
    given.clock.forward(minutes=30)
    second = await given.client.post("/v1/activations", json=body(license_, "phone"))
    assert second.status_code == 201
    auth, path = {"Authorization": f"Bearer {first['token']}"}, f"/v1/activations/{first['activation']['id']}"
    problem(await given.client.post(f"{path}/heartbeat", headers=auth), 409, "seat_limit_reached")
    given.clock.forward(minutes=30)
    renewed = given.expect(await given.client.post(f"{path}/heartbeat", headers=auth))
    assert renewed["activation"]["lease_expires_at"] == "2026-11-22T13:30:00.000Z"


async def test_a_policy_without_seats_has_nothing_to_activate(given: Given) -> None:
    license_ = await given.license()
    problem(await given.client.post("/v1/activations", json=body(license_)), 409, "seats_not_used")


async def test_r6_the_request_must_name_the_device(given: Given) -> None:
    license_ = await given.seats()
    problem(await given.client.post("/v1/activations", json={"license_key": license_["key"]}), 403, "device_required")


@pytest.mark.parametrize("fingerprint", ["", " ", "x" * 513, "a\tb", "a\0b", "\u2029", 7, None, ["a"]])
async def test_an_invalid_fingerprint_is_refused_and_takes_no_seat(given: Given, fingerprint: object) -> None:
    license_ = await given.seats(1)
    answer = await given.client.post("/v1/activations", json={"license_key": license_["key"], "device": {"fingerprint": fingerprint}})
    result = problem(answer, 422, "malformed")
    assert result["errors"][0]["pointer"] == "/device/fingerprint"
    assert (await given.client.post("/v1/activations", json=body(license_, "\U0001f600" * 512))).status_code == 201


async def test_fingerprints_are_compared_exactly(given: Given) -> None:
    license_ = await given.seats(4)
    for fingerprint in ("laptop", "Laptop", "laptop ", "lapt\u00f6p", "lapto\u0308p"):
        answer = await given.client.post("/v1/activations", json=body(license_, fingerprint))
        assert answer.status_code == (409 if fingerprint == "lapto\u0308p" else 201)


async def test_r53_unknown_malformed_and_other_products_keys_get_the_same_response(given: Given) -> None:
    license_, other = await given.seats(), await given.product()
    unknown = license_["key"][:-6] + "ABCDE"[::-1]
    answers = [
        await given.client.post("/v1/licenses/validate", json={"license_key": key, "product": product})
        for key, product in (
            (unknown, license_["product"]),
            ("nonsense", license_["product"]),
            (license_["key"], other["code"]),
            (license_["key"], "nothing"),
        )
    ]
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["code"] == "license_not_found"
    assert answers[0].json()["license"] is None


async def test_r13_r37_r42_validation_writes_nothing(given: Given) -> None:
    license_ = await given.seats(1)
    async with given.world.db.query() as tx:
        before = await tx.scalar(select(func.count()).select_from(Event))
    for _ in range(3):
        await given.post("/v1/licenses/validate", {**body(license_), "product": license_["product"]}, {})
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(Event)) == before
        assert await tx.scalar(select(func.count()).select_from(Activation)) == 0


async def test_r48_the_nonce_is_returned(given: Given) -> None:
    license_ = await given.license()
    result = await given.post("/v1/licenses/validate", {"license_key": license_["key"], "product": license_["product"], "nonce": "n-1"}, {})
    assert result["nonce"] == "n-1"


async def test_r27_lists_hide_released_seats(given: Given) -> None:
    license_ = await given.seats()
    activation = await given.activation(license_)
    await given.activation(license_, "phone")
    await given.client.delete(f"/v1/activations/{activation['activation']['id']}", headers=given.root)

    async def fingerprints(query: str) -> list[str]:
        result = given.expect(await given.client.get(f"/v1/activations?license={license_['id']}{query}", headers=given.root))
        return [row["fingerprint"] for row in result["data"]]

    assert await fingerprints("") == ["phone"]
    assert await fingerprints("&live=true") == ["phone"]
    assert await fingerprints("&live=false") == ["laptop"]
    assert await fingerprints("&fingerprint=laptop&live=false") == ["laptop"]
    problem(
        await given.client.get(f"/v1/licenses/{activation['activation']['id']}/activations", headers=given.root), 404, "license_not_found"
    )


async def test_an_ended_session_cannot_release_a_seat(given: Given) -> None:
    license_, person = await given.seats(), await given.logged_in()
    activation = await given.post("/v1/activations", body(license_), person.auth)
    await given.client.post("/v1/logout", headers=person.auth)
    answer = await given.client.delete(f"/v1/activations/{activation['activation']['id']}", headers=person.auth)
    problem(answer, 401, "token_invalid")


async def test_a_seat_moves_to_the_user_who_activates_the_device_again(given: Given) -> None:
    license_ = await given.seats()
    one, two = await given.logged_in(), await given.logged_in()
    await given.post("/v1/activations", body(license_), one.auth)
    activation = await given.post("/v1/activations", body(license_), two.auth)
    path = f"/v1/activations/{activation['activation']['id']}"
    problem(await given.client.delete(path, headers=one.auth), 404, "activation_not_found")
    assert (await given.client.delete(path, headers=two.auth)).status_code == 204


async def test_a_heartbeat_that_takes_its_seat_again_counts_the_seat(given: Given) -> None:
    license_ = await given.seats(1, lease="PT30M")
    activation = await given.activation(license_)
    given.clock.forward(minutes=31)
    auth = {"Authorization": f"Bearer {activation['token']}"}
    result = given.expect(await given.client.post(f"/v1/activations/{activation['activation']['id']}/heartbeat", headers=auth))
    assert result["seats"] == {"used": 1, "limit": 1}


async def test_dates_and_leases_beyond_the_calendar_are_refused(given: Given) -> None:
    policy = await given.policy()
    answer = await given.client.post(
        "/v1/licenses", json={"policy_id": policy["id"], "expires_at": "0001-01-05T00:00:00Z"}, headers=given.root
    )
    problem(answer, 422, "malformed")
    lease = {"product": policy["product"], "name": "P", "seat_by": "device", "max_seats": 1, "lease": "P9000Y"}
    problem(await given.client.post("/v1/policies", json=lease, headers=given.root), 422, "malformed")
    late = await given.license(policy, starts_at="9999-12-30T00:00:00Z")
    assert late["status"] == "not_started"
