"""The decision over HTTP: every reason in the fixed order, and the grant."""

from typing import Any

import jwt
import pytest

from tests.agreements import making
from tests.assertions import problem
from tests.given import Given, Person

ALL = ["license", "activation", "login", "second_factor", "eula"]


def codes(told: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in told["reasons"]]


async def everything(given: Given, **policy: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(document, license) of a product that wants all there is."""
    found = await making.create_in_force(given)
    given.expect(await given.client.patch(f"/v1/products/{found['product']}", json={"requires": ALL}, headers=given.root))
    made = await given.policy({"code": found["product"]}, **{"seat_by": "device", "max_seats": 3, **policy})
    return found, await given.license(made)


async def allowed(given: Given, **policy: Any) -> tuple[dict[str, Any], dict[str, Any], Person]:
    """Everything, and a person on a device who has done all of it."""
    found, license_ = await everything(given, **policy)
    person = await given.strong()
    await given.activation(license_)
    await making.accept(given, person, found)
    return found, license_, person


HERE = {"device": {"fingerprint": "laptop"}}


async def test_from_nothing_to_allow_by_doing_what_is_asked(given: Given) -> None:
    found, license_ = await everything(given)
    ask = {"license_key": license_["key"], **HERE}
    told = await given.access(found["product"], **ask)
    assert (told["allow"], told["code"], codes(told)) == (False, "login_required", ["login_required"])
    person = await given.logged_in()
    told = await given.access(found["product"], person, **ask)
    assert [(reason["code"], reason["action"], reason["href"]) for reason in told["reasons"]] == [
        ("second_factor_required", "enroll_totp", "/v1/me/totp")
    ]
    await given.with_totp(person)
    told = await given.access(found["product"], person, **ask)
    assert [(reason["code"], reason["action"], reason["acr"]) for reason in told["reasons"]] == [
        ("second_factor_required", "step_up", "aal2")
    ]
    await given.logged_in(person)
    told = await given.access(found["product"], person, **ask)
    assert [(reason["code"], reason["requirement"], reason["action"]) for reason in told["reasons"]] == [
        ("not_activated", "activation", "activate"), ("agreement_required", "eula", "accept_agreement"),
    ]  # fmt: skip
    await given.activation(license_)
    await making.accept(given, person, found)
    told = await given.access(found["product"], person, **ask)
    assert (told["allow"], told["code"], told["reasons"]) == (True, "ok", [])
    assert (told["session"], told["agreements"]) == ({"acr": "aal2", "amr": ["pwd", "otp", "mfa"]}, {"compliant": True, "outstanding": []})


async def test_the_grant_is_verified_by_a_third_party_and_outlives_nothing(given: Given) -> None:
    found, license_, person = await allowed(given, features={"export": True})
    told = await given.access(found["product"], person, license_key=license_["key"], nonce="n-1", **HERE)
    key_set = jwt.PyJWKSet.from_dict((await given.client.get("/.well-known/jwks.json")).json())
    header = jwt.get_unverified_header(told["grant"])
    claims = jwt.decode(
        told["grant"],
        key_set[header["kid"]],
        algorithms=["EdDSA"],
        audience=found["product"],
        options={"verify_exp": False, "verify_iat": False},
    )
    assert header["typ"] == "grant+jwt"
    assert (claims["sub"], claims["lic"], claims["acr"], claims["nonce"]) == (person.id, license_["id"], "aal2", "n-1")
    assert (claims["features"], claims["agreements"]) == ({"export": True}, {found["id"]: 1})
    assert claims["exp"] - claims["iat"] == 900
    assert "laptop" not in str(claims)


async def test_a_grant_never_outlives_the_license(given: Given) -> None:
    product = await given.product(requires=["license"])
    license_ = await given.license(await given.policy(product), expires_at="2026-11-22T12:05:00Z")
    told = await given.access(product["code"], license_key=license_["key"])
    claims = jwt.decode(told["grant"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 300
    assert told["check_again_at"] == "2026-11-22T12:05:00.000Z"


@pytest.mark.parametrize(
    ("action", "code", "next_step"),
    [("suspend", "license_suspended", "contact_seller"), ("revoke", "license_revoked", "contact_seller")],
)
async def test_the_license_reasons(given: Given, action: str, code: str, next_step: str) -> None:
    found, license_, person = await allowed(given)
    await given.post(f"/v1/licenses/{license_['id']}/{action}")
    told = await given.access(found["product"], person, license_key=license_["key"], **HERE)
    assert [(reason["code"], reason["action"]) for reason in told["reasons"]] == [(code, next_step)]
    assert told["grant"] is None


async def test_all_reasons_of_the_rest_come_at_once_in_order(given: Given) -> None:
    found, _ = await everything(given, max_users=5)
    policy = given.expect(await given.client.get(f"/v1/policies?product={found['product']}", headers=given.root))["data"][0]
    late = await given.license(policy, starts_at="2026-11-01T00:00:00Z", expires_at="2026-11-02T00:00:00Z")
    person = await given.strong()
    told = await given.access(found["product"], person, license_key=late["key"], features=["cloud"])
    assert codes(told) == ["license_expired", "user_not_assigned", "device_required", "feature_missing", "agreement_required"]


async def test_identity_reasons_come_alone(given: Given) -> None:
    found, license_, person = await allowed(given)
    ask = {"license_key": license_["key"]}
    given.expect(await given.client.patch(f"/v1/users/{person.id}", json={"email_verified": False}, headers=given.root))
    assert codes(await given.access(found["product"], person, **ask)) == ["email_unverified"]
    await given.post(f"/v1/users/{person.id}/suspend")
    assert codes(await given.access(found["product"], person, **ask)) == ["user_disabled"]
    await given.post(f"/v1/users/{person.id}/restore")
    await given.client.post("/v1/logout", headers=person.auth)
    assert codes(await given.access(found["product"], person, **ask)) == ["login_required"]


async def test_r7_a_closed_account_is_refused_even_where_no_login_is_asked(given: Given) -> None:
    license_ = await given.license()
    person = await given.logged_in()
    await given.post(f"/v1/users/{person.id}/suspend")
    told = await given.access(license_["product"], person, license_key=license_["key"])
    assert codes(told) == ["user_disabled"]


async def test_the_second_factor_lapses_and_the_answer_says_when_to_ask_again(given: Given) -> None:
    product = await given.product(requires=["second_factor"])
    person = await given.strong()
    told = await given.access(product["code"], person)
    assert told["allow"]
    given.clock.forward(hours=23, minutes=55)
    person.token = await fresh_token(given, person)
    told = await given.access(product["code"], person)
    assert (told["allow"], told["session"]["acr"]) == (True, "aal2")
    boundary = told["check_again_at"]
    given.clock.forward(minutes=5)
    told = await given.access(product["code"], person)
    assert boundary == "2026-11-23T12:00:30.000Z"
    assert codes(told) == ["second_factor_required"]


async def fresh_token(given: Given, person: Person) -> str:
    """A new access token for the same session."""
    told = await given.post("/v1/token/refresh", {"refresh_token": person.refresh}, {})
    person.refresh = told["refresh_token"]
    return str(told["access_token"])


async def test_without_a_key_the_users_own_license_that_answers_best_is_used(given: Given) -> None:
    product = await given.product(requires=["activation"])
    policy = await given.policy(product, seat_by="device", max_seats=1)
    person = await given.logged_in()
    expired = await given.license(policy, users=[person.id], starts_at="2026-11-01T00:00:00Z", expires_at="2026-11-02T00:00:00Z")
    good = await given.license(policy, users=[person.id])
    foreign = await given.license(policy)
    told = await given.access(product["code"], person, **HERE)
    assert (told["license"]["id"], codes(told)) == (good["id"], ["not_activated"])
    await given.activation(good)
    told = await given.access(product["code"], person, **HERE)
    assert (told["allow"], told["license"]["id"]) == (True, good["id"])
    assert expired["id"] != good["id"] != foreign["id"]


async def test_a_seats_own_token_asks_without_key(given: Given) -> None:
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1))
    held = await given.activation(license_)
    device = Person("", "", token=held["token"])
    assert (await given.access(product["code"], device))["allow"]
    assert codes(await given.access((await given.product())["code"], device)) == ["license_not_found"]
    await given.client.delete(f"/v1/activations/{held['activation']['id']}", headers=device.auth)
    assert codes(await given.access(product["code"], device)) == ["not_activated"]


async def test_an_unknown_key_and_no_key_are_one_reason(given: Given) -> None:
    product, other = await given.product(requires=["license"]), await given.license()
    for more in ({}, {"license_key": "nonsense"}, {"license_key": other["key"]}):
        told = await given.access(product["code"], **more)
        assert codes(told) == ["license_not_found"]


async def test_requirements_of_the_policy_are_added_to_the_products(given: Given) -> None:
    product = await given.product(requires=["license"])
    license_ = await given.license(await given.policy(product, requires=["login"]))
    told = await given.access(product["code"], license_key=license_["key"])
    assert (told["requires"], codes(told)) == (["login", "license"], ["login_required"])


async def test_an_allow_renews_a_lease_that_is_half_gone_and_a_dry_run_does_not(given: Given) -> None:
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1, lease="PT30M"))
    await given.activation(license_)
    ask = {"license_key": license_["key"], **HERE}
    assert (await given.access(product["code"], **ask))["activation"]["lease_expires_at"] == "2026-11-22T12:30:00.000Z"
    given.clock.forward(minutes=16)
    dry = await given.access(product["code"], dry_run=True, **ask)
    assert (dry["allow"], dry["grant"], dry["activation"]["lease_expires_at"]) == (True, None, "2026-11-22T12:30:00.000Z")
    assert [warned["code"] for warned in dry["warnings"]] == ["lease_ending"]
    wet = await given.access(product["code"], **ask)
    assert wet["activation"]["lease_expires_at"] == "2026-11-22T12:46:00.000Z"
    assert wet["check_again_at"] == "2026-11-22T12:46:00.000Z"
    given.clock.forward(minutes=30)
    assert codes(await given.access(product["code"], **ask)) == ["lease_expired"]


async def test_a_new_material_version_is_asked_for_at_once_and_a_decline_is_told(given: Given) -> None:
    found, license_, person = await allowed(given)
    ask = {"license_key": license_["key"], **HERE}
    await making.create_published(given, found)
    told = await given.access(found["product"], person, **ask)
    assert codes(told) == ["agreement_required"]
    assert told["reasons"][0]["documents"] == [
        {"document": found["id"], "ordinal": 2, "href": f"/v1/me/agreements/{found['id']}/presentations"}
    ]
    given.expect(await making.decide(given, person, await making.present(given, person, found), "decline"))
    assert codes(await given.access(found["product"], person, **ask)) == ["agreement_declined"]


async def test_grace_allows_with_a_warning_and_the_answer_ends_with_it(given: Given) -> None:
    found, license_, person = await allowed(given)
    await making.create_published(given, found, grace_until="2026-11-22T12:10:00Z")
    told = await given.access(found["product"], person, license_key=license_["key"], **HERE)
    assert (told["allow"], [warned["code"] for warned in told["warnings"]]) == (True, ["agreement_in_grace"])
    assert told["check_again_at"] == "2026-11-22T12:10:00.000Z"
    claims = jwt.decode(told["grant"], options={"verify_signature": False})
    assert claims["exp"] == int(given.clock.now().timestamp()) + 570


async def test_bad_asks(given: Given) -> None:
    problem(await given.client.post("/v1/access", json={"product": "nothing"}), 404, "product_not_found")
    problem(await given.client.post("/v1/access", json={}), 422, "malformed")
    problem(await given.client.post("/v1/access", json={"product": "x", "device": {"fingerprint": "\n"}}), 422, "malformed")
    stale = {"Authorization": "Bearer eyJhbGciOiJFZERTQSJ9.e30.AAAA"}
    problem(await given.client.post("/v1/access", json={"product": "x"}, headers=stale), 401, "token_invalid")


async def test_r60_a_dead_session_proves_nothing(given: Given) -> None:
    """After logging out, the token's user is nobody: no license by assignment, no `sub` in a grant, no assurance."""
    product = await given.product(requires=["license"])
    person = await given.logged_in()
    license_ = await given.license(await given.policy(product, max_users=1), users=[person.id])
    assert (await given.access(product["code"], person))["allow"]
    await given.client.post("/v1/logout", headers=person.auth)
    told = await given.access(product["code"], person)
    assert (codes(told), told["license"], told["session"]) == (["license_not_found"], None, None)
    assert codes(await given.access(product["code"], person, license_key=license_["key"])) == ["user_not_assigned"]


async def test_a_grant_certifies_the_seats_own_device_and_no_other(given: Given) -> None:
    from hashlib import sha256  # noqa: PLC0415  beside its only use

    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1))
    device = Person("", "", token=(await given.activation(license_))["token"])
    told = await given.access(product["code"], device)
    assert jwt.decode(told["grant"], options={"verify_signature": False})["dev"] == sha256(b"laptop").hexdigest()
    assert codes(await given.access(product["code"], device, device={"fingerprint": "elsewhere"})) == ["not_activated"]


async def test_r2_a_seats_token_is_judged_by_the_user_whose_seat_it_is_on_every_path(given: Given) -> None:
    product = await given.product(requires=["activation"])
    person = await given.logged_in()
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1, max_users=1), users=[person.id])
    body = {"license_key": license_["key"], "device": {"fingerprint": "laptop"}}
    held = await given.post("/v1/activations", body, person.auth)
    device = Person("", "", token=held["token"])
    assert (await given.access(product["code"], device))["allow"]
    given.expect(await given.client.post(f"/v1/activations/{held['activation']['id']}/heartbeat", headers=device.auth))


async def test_a_license_that_is_not_asked_for_stands_in_nobodys_way(given: Given) -> None:
    product = await given.product(requires=["login"])
    person = await given.logged_in()
    policy = await given.policy(product)
    await given.license(policy, users=[person.id], starts_at="2026-11-01T00:00:00Z", expires_at="2026-11-02T00:00:00Z")
    told = await given.access(product["code"], person)
    assert (told["allow"], told["license"]) == (True, None)


async def test_the_license_that_would_allow_is_the_one_that_is_used(given: Given) -> None:
    product = await given.product(requires=["license"])
    person = await given.logged_in()
    await given.license(await given.policy(product), users=[person.id])
    fitting = await given.license(await given.policy(product, seat_by="device", max_seats=1, features={"export": True}), users=[person.id])
    await given.license(await given.policy(product, requires=["second_factor"], features={"export": True}), users=[person.id])
    told = await given.access(product["code"], person, features=["export"])
    assert (told["allow"], told["license"]["id"]) == (True, fitting["id"])


async def test_a_verdict_is_judged_anew_whatever_the_idempotency_key(given: Given) -> None:
    license_ = await given.license()
    body = {"product": license_["product"], "license_key": license_["key"]}
    key = {"Idempotency-Key": "start-1"}
    assert (await given.client.post("/v1/access", json=body, headers=key)).json()["allow"]
    await given.post(f"/v1/licenses/{license_['id']}/revoke")
    again = await given.client.post("/v1/access", json=body, headers=key)
    assert (again.json()["allow"], "idempotency-replayed" in again.headers) == (False, False)


async def test_when_the_policys_lease_goes_a_live_seat_is_for_ever(given: Given) -> None:
    product = await given.product(requires=["activation"])
    policy = await given.policy(product, seat_by="device", max_seats=1, lease="PT30M")
    license_ = await given.license(policy)
    await given.activation(license_)
    given.expect(await given.client.patch(f"/v1/policies/{policy['id']}", json={"lease": None}, headers=given.root))
    told = await given.access(product["code"], None, license_key=license_["key"], **HERE)
    assert (told["allow"], told["activation"]["lease_expires_at"]) == (True, None)
