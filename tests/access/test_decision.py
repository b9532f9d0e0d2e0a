"""The access decision over HTTP: the reasons in their order, and the grant."""

from hashlib import sha256

import jwt
import pytest

from tests.access.scenarios import HERE, allow_access, read_codes, require_everything
from tests.agreements import making
from tests.assertions import problem
from tests.given import Given, Person


async def test_following_the_actions_of_each_response_leads_to_access(given: Given) -> None:
    document, license_ = await require_everything(given)
    ask = {"license_key": license_["key"], **HERE}
    decision = await given.access(document["product"], **ask)
    assert (decision["allow"], decision["code"], read_codes(decision)) == (False, "login_required", ["login_required"])
    person = await given.logged_in()
    decision = await given.access(document["product"], person, **ask)
    assert [(reason["code"], reason["action"], reason["href"]) for reason in decision["reasons"]] == [
        ("second_factor_required", "enroll_totp", "/v1/me/totp")
    ]
    await given.with_totp(person)
    decision = await given.access(document["product"], person, **ask)
    assert [(reason["code"], reason["action"], reason["acr"]) for reason in decision["reasons"]] == [
        ("second_factor_required", "step_up", "aal2")
    ]
    await given.logged_in(person)
    decision = await given.access(document["product"], person, **ask)
    assert [(reason["code"], reason["requirement"], reason["action"]) for reason in decision["reasons"]] == [
        ("not_activated", "activation", "activate"), ("agreement_required", "eula", "accept_agreement"),
    ]  # fmt: skip
    await given.activation(license_)
    await making.accept(given, person, document)
    decision = await given.access(document["product"], person, **ask)
    assert (decision["allow"], decision["code"], decision["reasons"]) == (True, "ok", [])
    assert (decision["session"], decision["agreements"]) == (
        {"acr": "aal2", "amr": ["pwd", "otp", "mfa"]},
        {"compliant": True, "outstanding": []},
    )


async def test_a_third_party_library_verifies_the_grant(given: Given) -> None:
    document, license_, person = await allow_access(given, features={"export": True})
    decision = await given.access(document["product"], person, license_key=license_["key"], nonce="n-1", **HERE)
    key_set = jwt.PyJWKSet.from_dict((await given.client.get("/.well-known/jwks.json")).json())
    header = jwt.get_unverified_header(decision["grant"])
    claims = jwt.decode(
        decision["grant"],
        key_set[header["kid"]],
        algorithms=["EdDSA"],
        audience=document["product"],
        options={"verify_exp": False, "verify_iat": False},
    )
    assert header["typ"] == "grant+jwt"
    assert (claims["sub"], claims["lic"], claims["acr"], claims["nonce"]) == (person.id, license_["id"], "aal2", "n-1")
    assert (claims["features"], claims["agreements"]) == ({"export": True}, {document["id"]: 1})
    assert claims["exp"] - claims["iat"] == 900
    assert "laptop" not in str(claims)


async def test_a_grant_expires_with_the_license(given: Given) -> None:
    product = await given.product(requires=["license"])
    license_ = await given.license(await given.policy(product), expires_at="2026-11-22T12:05:00Z")
    decision = await given.access(product["code"], license_key=license_["key"])
    claims = jwt.decode(decision["grant"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 300
    assert decision["check_again_at"] == "2026-11-22T12:05:00.000Z"


@pytest.mark.parametrize(
    ("action", "code", "next_action"),
    [("suspend", "license_suspended", "contact_seller"), ("revoke", "license_revoked", "contact_seller")],
)
async def test_a_suspended_or_revoked_license_is_the_only_reason(given: Given, action: str, code: str, next_action: str) -> None:
    document, license_, person = await allow_access(given)
    await given.post(f"/v1/licenses/{license_['id']}/{action}")
    decision = await given.access(document["product"], person, license_key=license_["key"], **HERE)
    assert [(reason["code"], reason["action"]) for reason in decision["reasons"]] == [(code, next_action)]
    assert decision["grant"] is None


async def test_all_reasons_but_login_reasons_come_together_in_order(given: Given) -> None:
    document, _ = await require_everything(given, max_users=5)
    policy = given.expect(await given.client.get(f"/v1/policies?product={document['product']}", headers=given.root))["data"][0]
    expired = await given.license(policy, starts_at="2026-11-01T00:00:00Z", expires_at="2026-11-02T00:00:00Z")
    person = await given.strong()
    decision = await given.access(document["product"], person, license_key=expired["key"], features=["cloud"])
    assert read_codes(decision) == ["license_expired", "user_not_assigned", "device_required", "feature_missing", "agreement_required"]


async def test_login_reasons_come_alone(given: Given) -> None:
    document, license_, person = await allow_access(given)
    ask = {"license_key": license_["key"]}
    given.expect(await given.client.patch(f"/v1/users/{person.id}", json={"email_verified": False}, headers=given.root))
    assert read_codes(await given.access(document["product"], person, **ask)) == ["email_unverified"]
    await given.post(f"/v1/users/{person.id}/suspend")
    assert read_codes(await given.access(document["product"], person, **ask)) == ["user_disabled"]
    await given.post(f"/v1/users/{person.id}/restore")
    await given.client.post("/v1/logout", headers=person.auth)
    assert read_codes(await given.access(document["product"], person, **ask)) == ["login_required"]


async def test_r7_a_closed_account_is_refused_even_where_no_login_is_required(given: Given) -> None:
    license_ = await given.license()
    person = await given.logged_in()
    await given.post(f"/v1/users/{person.id}/suspend")
    decision = await given.access(license_["product"], person, license_key=license_["key"])
    assert read_codes(decision) == ["user_disabled"]


async def test_the_second_factor_expires_at_check_again_at(given: Given) -> None:
    product = await given.product(requires=["second_factor"])
    person = await given.strong()
    decision = await given.access(product["code"], person)
    assert decision["allow"]
    given.clock.forward(hours=23, minutes=55)
    person.token = await refresh_token(given, person)
    decision = await given.access(product["code"], person)
    assert (decision["allow"], decision["session"]["acr"]) == (True, "aal2")
    boundary = decision["check_again_at"]
    given.clock.forward(minutes=5)
    decision = await given.access(product["code"], person)
    assert boundary == "2026-11-23T12:00:30.000Z"
    assert read_codes(decision) == ["second_factor_required"]


async def refresh_token(given: Given, person: Person) -> str:
    """Refresh the session and return the new access token."""
    tokens = await given.post("/v1/token/refresh", {"refresh_token": person.refresh}, {})
    person.refresh = tokens["refresh_token"]
    return str(tokens["access_token"])


async def test_without_a_key_the_best_license_of_the_user_is_used(given: Given) -> None:
    product = await given.product(requires=["activation"])
    policy = await given.policy(product, seat_by="device", max_seats=1)
    person = await given.logged_in()
    expired = await given.license(policy, users=[person.id], starts_at="2026-11-01T00:00:00Z", expires_at="2026-11-02T00:00:00Z")
    good = await given.license(policy, users=[person.id])
    foreign = await given.license(policy)
    decision = await given.access(product["code"], person, **HERE)
    assert (decision["license"]["id"], read_codes(decision)) == (good["id"], ["not_activated"])
    await given.activation(good)
    decision = await given.access(product["code"], person, **HERE)
    assert (decision["allow"], decision["license"]["id"]) == (True, good["id"])
    assert expired["id"] != good["id"] != foreign["id"]


async def test_an_activation_token_replaces_the_license_key(given: Given) -> None:
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1))
    activation = await given.activation(license_)
    device = Person("", "", token=activation["token"])
    assert (await given.access(product["code"], device))["allow"]
    assert read_codes(await given.access((await given.product())["code"], device)) == ["license_not_found"]
    await given.client.delete(f"/v1/activations/{activation['activation']['id']}", headers=device.auth)
    assert read_codes(await given.access(product["code"], device)) == ["not_activated"]


async def test_an_unknown_key_and_no_key_give_the_same_reason(given: Given) -> None:
    product, other = await given.product(requires=["license"]), await given.license()
    for more in ({}, {"license_key": "nonsense"}, {"license_key": other["key"]}):
        decision = await given.access(product["code"], **more)
        assert read_codes(decision) == ["license_not_found"]


async def test_requirements_of_the_policy_are_added_to_the_products(given: Given) -> None:
    product = await given.product(requires=["license"])
    license_ = await given.license(await given.policy(product, requires=["login"]))
    decision = await given.access(product["code"], license_key=license_["key"])
    assert (decision["requires"], read_codes(decision)) == (["login", "license"], ["login_required"])


async def test_access_renews_a_lease_after_half_of_it_and_a_dry_run_does_not(given: Given) -> None:
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1, lease="PT30M"))
    await given.activation(license_)
    ask = {"license_key": license_["key"], **HERE}
    assert (await given.access(product["code"], **ask))["activation"]["lease_expires_at"] == "2026-11-22T12:30:00.000Z"
    given.clock.forward(minutes=16)
    dry_run_decision = await given.access(product["code"], dry_run=True, **ask)
    assert (dry_run_decision["allow"], dry_run_decision["grant"], dry_run_decision["activation"]["lease_expires_at"]) == (
        True,
        None,
        "2026-11-22T12:30:00.000Z",
    )
    assert [warning["code"] for warning in dry_run_decision["warnings"]] == ["lease_ending"]
    decision = await given.access(product["code"], **ask)
    assert decision["activation"]["lease_expires_at"] == "2026-11-22T12:46:00.000Z"
    assert decision["check_again_at"] == "2026-11-22T12:46:00.000Z"
    given.clock.forward(minutes=30)
    assert read_codes(await given.access(product["code"], **ask)) == ["lease_expired"]


async def test_a_new_material_version_is_required_immediately_and_can_be_declined(given: Given) -> None:
    document, license_, person = await allow_access(given)
    ask = {"license_key": license_["key"], **HERE}
    await making.create_published(given, document)
    decision = await given.access(document["product"], person, **ask)
    assert read_codes(decision) == ["agreement_required"]
    assert decision["reasons"][0]["documents"] == [
        {"document": document["id"], "ordinal": 2, "href": f"/v1/me/agreements/{document['id']}/presentations"}
    ]
    given.expect(await making.decide(given, person, await making.present(given, person, document), "decline"))
    assert read_codes(await given.access(document["product"], person, **ask)) == ["agreement_declined"]


async def test_agreement_grace_allows_with_a_warning_and_limits_the_grant(given: Given) -> None:
    document, license_, person = await allow_access(given)
    await making.create_published(given, document, grace_until="2026-11-22T12:10:00Z")
    decision = await given.access(document["product"], person, license_key=license_["key"], **HERE)
    assert (decision["allow"], [warning["code"] for warning in decision["warnings"]]) == (True, ["agreement_in_grace"])
    assert decision["check_again_at"] == "2026-11-22T12:10:00.000Z"
    claims = jwt.decode(decision["grant"], options={"verify_signature": False})
    assert claims["exp"] == int(given.clock.now().timestamp()) + 570


async def test_invalid_requests_are_refused(given: Given) -> None:
    problem(await given.client.post("/v1/access", json={"product": "nothing"}), 404, "product_not_found")
    problem(await given.client.post("/v1/access", json={}), 422, "malformed")
    problem(await given.client.post("/v1/access", json={"product": "x", "device": {"fingerprint": "\n"}}), 422, "malformed")
    bad_token = {"Authorization": "Bearer eyJhbGciOiJFZERTQSJ9.e30.AAAA"}
    problem(await given.client.post("/v1/access", json={"product": "x"}, headers=bad_token), 401, "token_invalid")


async def test_r60_an_ended_session_counts_as_no_login(given: Given) -> None:
    """After a logout, the token gives no license by assignment and no session in the response."""
    product = await given.product(requires=["license"])
    person = await given.logged_in()
    license_ = await given.license(await given.policy(product, max_users=1), users=[person.id])
    assert (await given.access(product["code"], person))["allow"]
    await given.client.post("/v1/logout", headers=person.auth)
    decision = await given.access(product["code"], person)
    assert (read_codes(decision), decision["license"], decision["session"]) == (["license_not_found"], None, None)
    assert read_codes(await given.access(product["code"], person, license_key=license_["key"])) == ["user_not_assigned"]


async def test_the_grant_contains_the_device_of_the_seat(given: Given) -> None:
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1))
    device = Person("", "", token=(await given.activation(license_))["token"])
    decision = await given.access(product["code"], device)
    assert jwt.decode(decision["grant"], options={"verify_signature": False})["dev"] == sha256(b"laptop").hexdigest()
    assert read_codes(await given.access(product["code"], device, device={"fingerprint": "elsewhere"})) == ["not_activated"]


async def test_r2_an_activation_token_includes_the_user_of_the_seat_on_every_path(given: Given) -> None:
    product = await given.product(requires=["activation"])
    person = await given.logged_in()
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1, max_users=1), users=[person.id])
    body = {"license_key": license_["key"], "device": {"fingerprint": "laptop"}}
    activation = await given.post("/v1/activations", body, person.auth)
    device = Person("", "", token=activation["token"])
    assert (await given.access(product["code"], device))["allow"]
    given.expect(await given.client.post(f"/v1/activations/{activation['activation']['id']}/heartbeat", headers=device.auth))


async def test_an_expired_license_does_not_block_a_product_that_requires_none(given: Given) -> None:
    product = await given.product(requires=["login"])
    person = await given.logged_in()
    policy = await given.policy(product)
    await given.license(policy, users=[person.id], starts_at="2026-11-01T00:00:00Z", expires_at="2026-11-02T00:00:00Z")
    decision = await given.access(product["code"], person)
    assert (decision["allow"], decision["license"]) == (True, None)


async def test_of_several_licenses_the_one_that_allows_is_used(given: Given) -> None:
    product = await given.product(requires=["license"])
    person = await given.logged_in()
    await given.license(await given.policy(product), users=[person.id])
    fitting = await given.license(await given.policy(product, seat_by="device", max_seats=1, features={"export": True}), users=[person.id])
    await given.license(await given.policy(product, requires=["second_factor"], features={"export": True}), users=[person.id])
    decision = await given.access(product["code"], person, features=["export"])
    assert (decision["allow"], decision["license"]["id"]) == (True, fitting["id"])


async def test_a_decision_is_never_replayed_for_an_idempotency_key(given: Given) -> None:
    license_ = await given.license()
    body = {"product": license_["product"], "license_key": license_["key"]}
    key = {"Idempotency-Key": "start-1"}
    assert (await given.client.post("/v1/access", json=body, headers=key)).json()["allow"]
    await given.post(f"/v1/licenses/{license_['id']}/revoke")
    again = await given.client.post("/v1/access", json=body, headers=key)
    assert (again.json()["allow"], "idempotency-replayed" in again.headers) == (False, False)


async def test_when_the_policy_loses_its_lease_a_live_seat_becomes_permanent(given: Given) -> None:
    product = await given.product(requires=["activation"])
    policy = await given.policy(product, seat_by="device", max_seats=1, lease="PT30M")
    license_ = await given.license(policy)
    await given.activation(license_)
    given.expect(await given.client.patch(f"/v1/policies/{policy['id']}", json={"lease": None}, headers=given.root))
    decision = await given.access(product["code"], None, license_key=license_["key"], **HERE)
    assert (decision["allow"], decision["activation"]["lease_expires_at"]) == (True, None)
