"""Activation codes: creating, redeeming and revoking them."""

from tests.assertions import problem
from tests.given import Given


def body(code: str, fingerprint: str = "laptop") -> dict[str, object]:
    return {"activation_code": code, "device": {"fingerprint": fingerprint}}


async def test_a_code_takes_one_seat_and_its_device_can_use_it_again(given: Given) -> None:
    license_ = await given.seats(3)
    code = await given.code(license_)
    assert (await given.client.post("/v1/activations", json=body(code))).status_code == 201
    assert (await given.client.post("/v1/activations", json=body(code.lower().replace("-", " ")))).status_code == 200
    problem(await given.client.post("/v1/activations", json=body(code, "phone")), 410, "activation_code_spent")


async def test_r38_a_failed_activation_uses_no_code(given: Given) -> None:
    license_ = await given.seats(1)
    activation = await given.activation(license_)
    code = await given.code(license_)
    problem(await given.client.post("/v1/activations", json=body(code, "phone")), 409, "seat_limit_reached")
    await given.client.delete(f"/v1/activations/{activation['activation']['id']}", headers=given.root)
    assert (await given.client.post("/v1/activations", json=body(code, "phone"))).status_code == 201


async def test_a_code_ends_by_expiry_and_by_revocation(given: Given) -> None:
    license_ = await given.seats(3)
    timed = await given.code(license_, expires_at="2026-11-22T13:00:00Z", max_uses=3)
    assert (await given.client.post("/v1/activations", json=body(timed))).status_code == 201
    given.clock.forward(hours=1)
    problem(await given.client.post("/v1/activations", json=body(timed, "phone")), 410, "activation_code_spent")
    created = await given.post(f"/v1/licenses/{license_['id']}/activation-codes", {"max_uses": 3})
    for _ in range(2):
        path = f"/v1/activation-codes/{created['data'][0]['id']}"
        assert (await given.client.delete(path, headers=given.root)).status_code == 204
    problem(await given.client.post("/v1/activations", json=body(created["data"][0]["code"], "phone")), 410, "activation_code_spent")


async def test_unknown_and_malformed_codes_get_the_same_response(given: Given) -> None:
    for code in ("0000-0000-0000", "nonsense", "\u4e00" * 12):
        problem(await given.client.post("/v1/activations", json=body(code)), 404, "activation_code_invalid")


async def test_redeeming_as_a_user_assigns_that_user(given: Given) -> None:
    license_ = await given.license(await given.policy(seat_by="device", max_seats=3, max_users=1))
    one, two = await given.logged_in(), await given.logged_in()
    code = await given.code(license_, max_uses=3)
    problem(await given.client.post("/v1/activations", json=body(code)), 403, "user_not_assigned")
    assert (await given.client.post("/v1/activations", json=body(code), headers=one.auth)).status_code == 201
    problem(await given.client.post("/v1/activations", json=body(code, "phone"), headers=two.auth), 409, "user_limit_reached")
    now = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))
    assert now["users"] == [one.id]
    codes = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}/activation-codes", headers=given.root))
    assert codes["data"][0]["uses"] == 1
    assert code not in str(codes)


async def test_exactly_one_credential_is_required(given: Given) -> None:
    problem(await given.client.post("/v1/activations", json={"device": {"fingerprint": "x"}}), 422, "malformed")


async def test_a_spent_code_works_only_for_the_seat_that_it_took(given: Given) -> None:
    license_ = await given.seats(3)
    code = await given.code(license_)
    own = given.expect(await given.client.post("/v1/activations", json=body(code)))
    victim = await given.activation(license_, "victim")
    problem(await given.client.post("/v1/activations", json=body(code, "victim")), 410, "activation_code_spent")
    again = await given.client.post("/v1/activations", json=body(code))
    assert (again.status_code, again.json()["token"]) == (200, own["token"])
    assert victim["token"] != own["token"]


async def test_a_code_with_an_address_works_only_for_its_verified_owner(given: Given) -> None:
    license_ = await given.seats(3)
    owner, other = await given.logged_in(), await given.logged_in()
    code = await given.code(license_, email=owner.email.title())
    address = owner.email.partition("@")[0].title() + "@example.com"  # a domain has no case, a mailbox may
    for auth in ({}, other.auth):
        problem(await given.client.post("/v1/activations", json=body(code), headers=auth), 403, "activation_code_bound")
    withdrawn = {"email_verified": False}
    given.expect(await given.client.patch(f"/v1/users/{owner.id}", json=withdrawn, headers=given.root))
    problem(await given.client.post("/v1/activations", json=body(code), headers=owner.auth), 403, "activation_code_bound")
    given.expect(await given.client.patch(f"/v1/users/{owner.id}", json={"email_verified": True}, headers=given.root))
    assert (await given.client.post("/v1/activations", json=body(code), headers=owner.auth)).status_code == 201
    codes = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}/activation-codes", headers=given.root))
    assert [(row["uses"], row["email"]) for row in codes["data"]] == [(1, address)]


async def test_up_to_a_thousand_codes_are_created_at_once(given: Given) -> None:
    license_ = await given.seats(3)
    created = await given.post(f"/v1/licenses/{license_['id']}/activation-codes", {"count": 1000, "max_uses": 2})
    assert len({row["code"] for row in created["data"]}) == 1000
    answer = await given.client.post(f"/v1/licenses/{license_['id']}/activation-codes", json={"count": 1001}, headers=given.root)
    problem(answer, 422, "malformed")


async def test_a_code_of_another_product_is_unknown_and_not_used(given: Given) -> None:
    license_, other = await given.seats(3), await given.product()
    code = await given.code(license_)
    wrong = {**body(code), "product": other["code"]}
    problem(await given.client.post("/v1/activations", json=wrong), 404, "activation_code_invalid")
    assert (await given.client.post("/v1/activations", json={**wrong, "product": license_["product"]})).status_code == 201
