"""Activation codes."""

from tests.assertions import problem
from tests.given import Given


def body(code: str, fingerprint: str = "laptop") -> dict[str, object]:
    return {"activation_code": code, "device": {"fingerprint": fingerprint}}


async def test_a_code_takes_a_seat_once_and_its_device_may_come_again(given: Given) -> None:
    license_ = await given.seats(3)
    code = await given.code(license_)
    assert (await given.client.post("/v1/activations", json=body(code))).status_code == 201
    assert (await given.client.post("/v1/activations", json=body(code.lower().replace("-", " ")))).status_code == 200
    problem(await given.client.post("/v1/activations", json=body(code, "phone")), 410, "activation_code_spent")


async def test_r38_a_seat_that_fails_consumes_no_use(given: Given) -> None:
    license_ = await given.seats(1)
    held = await given.activation(license_)
    code = await given.code(license_)
    problem(await given.client.post("/v1/activations", json=body(code, "phone")), 409, "seat_limit_reached")
    await given.client.delete(f"/v1/activations/{held['activation']['id']}", headers=given.root)
    assert (await given.client.post("/v1/activations", json=body(code, "phone"))).status_code == 201


async def test_a_code_dies_on_time_and_by_revocation(given: Given) -> None:
    license_ = await given.seats(3)
    timed = await given.code(license_, expires_at="2026-11-22T13:00:00Z", max_uses=3)
    assert (await given.client.post("/v1/activations", json=body(timed))).status_code == 201
    given.clock.forward(hours=1)
    problem(await given.client.post("/v1/activations", json=body(timed, "phone")), 410, "activation_code_spent")
    made = await given.post(f"/v1/licenses/{license_['id']}/activation-codes", {"max_uses": 3})
    for _ in range(2):
        path = f"/v1/activation-codes/{made['data'][0]['id']}"
        assert (await given.client.delete(path, headers=given.root)).status_code == 204
    problem(await given.client.post("/v1/activations", json=body(made["data"][0]["code"], "phone")), 410, "activation_code_spent")


async def test_unknown_and_malformed_codes_are_one_answer(given: Given) -> None:
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
    listed = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}/activation-codes", headers=given.root))
    assert listed["data"][0]["uses"] == 1
    assert code not in str(listed)


async def test_exactly_one_credential(given: Given) -> None:
    problem(await given.client.post("/v1/activations", json={"device": {"fingerprint": "x"}}), 422, "malformed")


async def test_a_spent_code_speaks_for_its_own_seat_and_no_other(given: Given) -> None:
    license_ = await given.seats(3)
    code = await given.code(license_)
    mine = given.expect(await given.client.post("/v1/activations", json=body(code)))
    victim = await given.activation(license_, "victim")
    problem(await given.client.post("/v1/activations", json=body(code, "victim")), 410, "activation_code_spent")
    again = await given.client.post("/v1/activations", json=body(code))
    assert (again.status_code, again.json()["token"]) == (200, mine["token"])
    assert victim["token"] != mine["token"]


async def test_a_code_with_an_address_is_for_its_verified_owner_alone(given: Given) -> None:
    license_ = await given.seats(3)
    owner, other = await given.logged_in(), await given.logged_in()
    code = await given.code(license_, email=owner.email.title())
    listed_as = owner.email.partition("@")[0].title() + "@example.com"  # a domain has no case, a mailbox may
    for auth in ({}, other.auth):
        problem(await given.client.post("/v1/activations", json=body(code), headers=auth), 403, "activation_code_bound")
    withdrawn = {"email_verified": False}
    given.expect(await given.client.patch(f"/v1/users/{owner.id}", json=withdrawn, headers=given.root))
    problem(await given.client.post("/v1/activations", json=body(code), headers=owner.auth), 403, "activation_code_bound")
    given.expect(await given.client.patch(f"/v1/users/{owner.id}", json={"email_verified": True}, headers=given.root))
    assert (await given.client.post("/v1/activations", json=body(code), headers=owner.auth)).status_code == 201
    listed = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}/activation-codes", headers=given.root))
    assert [(it["uses"], it["email"]) for it in listed["data"]] == [(1, listed_as)]


async def test_a_batch_of_codes(given: Given) -> None:
    license_ = await given.seats(3)
    made = await given.post(f"/v1/licenses/{license_['id']}/activation-codes", {"count": 1000, "max_uses": 2})
    assert len({it["code"] for it in made["data"]}) == 1000
    answer = await given.client.post(f"/v1/licenses/{license_['id']}/activation-codes", json={"count": 1001}, headers=given.root)
    problem(answer, 422, "malformed")


async def test_a_code_of_another_product_is_an_unknown_one_and_consumes_nothing(given: Given) -> None:
    license_, other = await given.seats(3), await given.product()
    code = await given.code(license_)
    wrong = {**body(code), "product": other["code"]}
    problem(await given.client.post("/v1/activations", json=wrong), 404, "activation_code_invalid")
    assert (await given.client.post("/v1/activations", json={**wrong, "product": license_["product"]})).status_code == 201
