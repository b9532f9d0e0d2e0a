"""Every reason and warning of the API contract over HTTP, and everything that limits a grant."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import jwt
import pytest
from fastapi import FastAPI

from app.base.durations import instant_text
from tests.access.scenarios import HERE, allow_access, read_codes, require_everything
from tests.agreements import making
from tests.assertions import problem
from tests.given import Given, Person

Json = dict[str, Any]


async def read_rows(given: Given, product: str, person: Person | None = None, **ask: Any) -> list[tuple[str, str, str]]:
    """Return (code, requirement, action) of each reason of a refusal."""
    decision = await given.access(product, person, **ask)
    assert (decision["allow"], decision["grant"], decision["code"]) == (False, None, decision["reasons"][0]["code"])
    return [(reason["code"], reason["requirement"], reason["action"]) for reason in decision["reasons"]]


async def test_reasons_about_the_login(given: Given) -> None:
    document, license_, person = await allow_access(given)
    ask = {"license_key": license_["key"], **HERE}
    path = f"/v1/users/{person.id}"
    assert await read_rows(given, document["product"], **ask) == [("login_required", "login", "log_in")]
    given.expect(await given.client.patch(path, json={"email_verified": False}, headers=given.root))
    assert await read_rows(given, document["product"], person, **ask) == [("email_unverified", "login", "verify_email")]
    given.expect(await given.client.patch(path, json={"email_verified": True}, headers=given.root))
    await given.post(f"{path}/reset-factors")
    await given.logged_in(weak := Person(person.id, person.email))
    assert await read_rows(given, document["product"], weak, **ask) == [("second_factor_required", "second_factor", "enroll_totp")]
    await given.with_totp(weak)
    assert await read_rows(given, document["product"], weak, **ask) == [("second_factor_required", "second_factor", "step_up")]
    await given.post(f"{path}/suspend")
    assert await read_rows(given, document["product"], weak, **ask) == [("user_disabled", "login", "contact_seller")]


async def require_seat(given: Given, policy: Json | None = None, *, active: bool = True, **more: Any) -> tuple[Json, Json]:
    """Create a product that requires a seat; return the access request and a license. `active`: the device takes a seat."""
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, **{"seat_by": "device", "max_seats": 1, **(policy or {})}), **more)
    if active:
        await given.activation(license_)
    return {"license_key": license_["key"], **HERE}, license_


@pytest.mark.parametrize(
    ("terms", "row", "fact"),
    [
        (
            {"starts_at": "2026-11-23T00:00:00Z"}, ("license_not_started", "license", "wait"), {"starts_at": "2026-11-23T00:00:00.000Z"},
        ),
        (
            {"starts_at": "2026-11-01T00:00:00Z", "expires_at": "2026-11-22T12:00:00Z"}, ("license_expired", "license", "renew"),
            {"expires_at": "2026-11-22T12:00:00.000Z"},
        ),
        ({"policy": {"max_users": 2}}, ("user_not_assigned", "license", "log_in"), {"href": "/v1/login"}),
    ],
)  # fmt: skip
async def test_reasons_about_the_dates_and_users_of_the_license(given: Given, terms: Json, row: tuple[str, str, str], fact: Json) -> None:
    ask, license_ = await require_seat(given, active=False, **terms)
    assert (await read_rows(given, license_["product"], **ask))[0] == row
    decision = await given.access(license_["product"], **ask)
    assert {name: decision["reasons"][0][name] for name in fact} == fact
    assert decision["license"]["id"] == license_["id"]


async def test_reasons_for_a_suspended_and_a_revoked_license(given: Given) -> None:
    ask, license_ = await require_seat(given)
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    assert await read_rows(given, license_["product"], **ask) == [("license_suspended", "license", "contact_seller")]
    await given.post(f"/v1/licenses/{license_['id']}/revoke")
    assert (await read_rows(given, license_["product"], **ask))[0] == ("license_revoked", "license", "contact_seller")


async def test_reasons_about_key_device_seat_and_feature(given: Given) -> None:
    ask, license_ = await require_seat(given, {"lease": "PT10M"}, active=False)
    product = license_["product"]
    assert await read_rows(given, product) == [("license_not_found", "license", "enter_key")]
    assert await read_rows(given, product, license_key=ask["license_key"]) == [("device_required", "activation", "name_device")]
    assert await read_rows(given, product, **ask) == [("not_activated", "activation", "activate")]
    await given.activation(license_)
    assert await read_rows(given, product, features=["cloud"], **ask) == [("feature_missing", "license", "upgrade")]
    given.clock.forward(minutes=10)
    assert await read_rows(given, product, **ask) == [("lease_expired", "activation", "activate")]


async def test_reasons_about_agreements(given: Given) -> None:
    document, license_ = await require_everything(given)
    person = await given.strong()
    await given.activation(license_)
    ask = {"license_key": license_["key"], **HERE}
    assert await read_rows(given, document["product"], person, **ask) == [("agreement_required", "eula", "accept_agreement")]
    given.expect(await making.decide(given, person, await making.present(given, person, document), "decline"))
    assert await read_rows(given, document["product"], person, **ask) == [("agreement_declined", "eula", "accept_agreement")]


async def test_a_user_who_is_not_assigned_is_sent_to_the_seller(given: Given) -> None:
    ask, license_ = await require_seat(given, {"max_users": 2}, active=False)
    reasons = await read_rows(given, license_["product"], await given.logged_in(), **ask)
    assert reasons[0] == ("user_not_assigned", "license", "contact_seller")


Situation = Callable[[Given], Awaitable[Json]]


async def _in_grace(given: Given) -> Json:
    ask, license_ = await require_seat(given, {"grace": "P2D"}, starts_at="2026-11-01T00:00:00Z", expires_at="2026-11-22T00:00:00Z")
    return await given.access(license_["product"], **ask)


async def _soon(given: Given) -> Json:
    ask, license_ = await require_seat(given, expires_at=instant_text(given.clock.now() + timedelta(days=14)))
    return await given.access(license_["product"], **ask)


async def _over_limit(given: Given) -> Json:
    ask, license_ = await require_seat(given, {"max_seats": 2})
    await given.activation(license_, "phone")
    given.expect(await given.client.patch(f"/v1/policies/{license_['policy_id']}", json={"max_seats": 1}, headers=given.root))
    return await given.access(license_["product"], **ask)


async def _lease_ending(given: Given) -> Json:
    ask, license_ = await require_seat(given, {"lease": "PT10M"})
    given.clock.forward(minutes=5)
    return await given.access(license_["product"], dry_run=True, **ask)


async def _agreements(given: Given, *change: str, **body: Any) -> Json:
    document, license_, person = await allow_access(given)
    await making.create_published(given, document, change_class=change[0] if change else "material", **body)
    return await given.access(document["product"], person, license_key=license_["key"], **HERE)


SITUATIONS: Mapping[str, Situation] = {
    "in_grace": _in_grace,
    "expires_soon": _soon,
    "over_limit": _over_limit,
    "lease_ending": _lease_ending,
    "agreement_in_grace": lambda given: _agreements(given, grace_until=making.days_from_now(given, 1)),
    "agreement_upcoming": lambda given: _agreements(given, effective_at=making.days_from_now(given, 1)),
    "agreement_notice": lambda given: _agreements(given, "notice"),
}


@pytest.mark.parametrize("code", SITUATIONS)
async def test_every_warning_is_returned(given: Given, code: str) -> None:
    decision = await SITUATIONS[code](given)
    assert [warning["code"] for warning in decision["warnings"]] == [code]
    assert read_codes(decision) == []


async def test_a_grant_expires_with_the_first_of_its_facts(given: Given, app: FastAPI) -> None:
    """The earliest end limits the grant, to the second; `check_again_at` is the same time."""
    given.configured(app, session_lifetime=timedelta(minutes=13))
    document, license_, person = await allow_access(given)
    policy = given.expect(await given.client.get(f"/v1/policies?product={document['product']}", headers=given.root))["data"][0]
    request = {"license_key": license_["key"], **HERE}

    async def read_minutes() -> float:
        decision = await given.access(document["product"], person, **request)
        claims = jwt.decode(decision["grant"], options={"verify_signature": False})
        assert claims["iat"] == int(given.clock.now().timestamp())
        until = given.clock.now() + timedelta(seconds=claims["exp"] - claims["iat"])
        assert decision["check_again_at"] == instant_text(until)
        return float(claims["exp"] - claims["iat"]) / 60

    assert await read_minutes() == 13  # the session
    given.configured(app, second_factor_lifetime=timedelta(minutes=12))
    assert await read_minutes() == 12
    given.expect(await given.client.patch(f"/v1/policies/{policy['id']}", json={"lease": "PT11M"}, headers=given.root))
    assert await read_minutes() == 11  # which the first request wrote
    await making.create_published(given, document, effective_at=making.days_from_now(given, 10 / 1440))
    assert await read_minutes() == 10
    ends = {"expires_at": instant_text(given.clock.now() + timedelta(minutes=9))}
    given.expect(await given.client.patch(f"/v1/licenses/{license_['id']}", json=ends, headers=given.root))
    assert await read_minutes() == 9
    given.configured(app, grant_lifetime=timedelta(minutes=8))
    decision = await given.access(document["product"], person, **request)
    claims = jwt.decode(decision["grant"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 480


async def test_a_grant_is_not_a_token_and_operators_get_no_decision(given: Given) -> None:
    license_ = await given.license()
    body = {"product": license_["product"], "license_key": license_["key"]}
    grant = (await given.access(license_["product"], license_key=license_["key"]))["grant"]
    for path in ("/v1/access", "/v1/licenses/validate"):
        problem(await given.client.post(path, json=body, headers={"Authorization": f"Bearer {grant}"}), 401, "token_invalid")
    problem(await given.client.post("/v1/access", json=body, headers=given.root), 403, "subject_token_required")


async def test_the_nonce_is_returned_in_the_response_and_in_the_grant(given: Given) -> None:
    license_ = await given.license()
    for nonce in ("n" * 128, "läufer", None):
        decision = await given.access(license_["product"], license_key=license_["key"], nonce=nonce)
        claims = jwt.decode(decision["grant"], options={"verify_signature": False})
        assert decision["nonce"] == claims.get("nonce") == nonce
    refused = await given.access(license_["product"], license_key="nonsense", nonce="n-1")
    assert (read_codes(refused), refused["nonce"]) == (["license_not_found"], "n-1")
