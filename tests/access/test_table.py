"""The table of the contract, row by row over HTTP; the warnings; and all that a grant rests on."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import jwt
import pytest
from fastapi import FastAPI

from app.base.durations import instant_text
from tests.access.test_decision import HERE, allowed, codes, everything
from tests.agreements import making
from tests.assertions import problem
from tests.given import Given, Person

Told = dict[str, Any]


async def rows(given: Given, product: str, person: Person | None = None, **ask: Any) -> list[tuple[str, str, str]]:
    """(code, requirement, action) of each reason, and what goes with every no."""
    told = await given.access(product, person, **ask)
    assert (told["allow"], told["grant"], told["code"]) == (False, None, told["reasons"][0]["code"])
    return [(reason["code"], reason["requirement"], reason["action"]) for reason in told["reasons"]]


async def test_who_asks(given: Given) -> None:
    found, license_, person = await allowed(given)
    ask = {"license_key": license_["key"], **HERE}
    path = f"/v1/users/{person.id}"
    assert await rows(given, found["product"], **ask) == [("login_required", "login", "log_in")]
    given.expect(await given.client.patch(path, json={"email_verified": False}, headers=given.root))
    assert await rows(given, found["product"], person, **ask) == [("email_unverified", "login", "verify_email")]
    given.expect(await given.client.patch(path, json={"email_verified": True}, headers=given.root))
    await given.post(f"{path}/reset-factors")
    await given.logged_in(weak := Person(person.id, person.email))
    assert await rows(given, found["product"], weak, **ask) == [("second_factor_required", "second_factor", "enroll_totp")]
    await given.with_totp(weak)
    assert await rows(given, found["product"], weak, **ask) == [("second_factor_required", "second_factor", "step_up")]
    await given.post(f"{path}/suspend")
    assert await rows(given, found["product"], weak, **ask) == [("user_disabled", "login", "contact_seller")]


async def of_license(given: Given, policy: Told | None = None, *, active: bool = True, **more: Any) -> tuple[Told, Told]:
    """(what to ask with, license) of a product that wants a device with a seat. `active`: this device takes it."""
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, **{"seat_by": "device", "max_seats": 1, **(policy or {})}), **more)
    if active:
        await given.activation(license_)
    return {"license_key": license_["key"], **HERE}, license_


@pytest.mark.parametrize(
    ("made", "row", "fact"),
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
async def test_the_license(given: Given, made: Told, row: tuple[str, str, str], fact: Told) -> None:
    ask, license_ = await of_license(given, active=False, **made)
    assert (await rows(given, license_["product"], **ask))[0] == row
    told = await given.access(license_["product"], **ask)
    assert {name: told["reasons"][0][name] for name in fact} == fact
    assert told["license"]["id"] == license_["id"]


async def test_a_license_that_was_suspended_or_revoked(given: Given) -> None:
    ask, license_ = await of_license(given)
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    assert await rows(given, license_["product"], **ask) == [("license_suspended", "license", "contact_seller")]
    await given.post(f"/v1/licenses/{license_['id']}/revoke")
    assert (await rows(given, license_["product"], **ask))[0] == ("license_revoked", "license", "contact_seller")


async def test_no_license_no_device_no_seat_no_feature(given: Given) -> None:
    ask, license_ = await of_license(given, {"lease": "PT10M"}, active=False)
    product = license_["product"]
    assert await rows(given, product) == [("license_not_found", "license", "enter_key")]
    assert await rows(given, product, license_key=ask["license_key"]) == [("device_required", "activation", "name_device")]
    assert await rows(given, product, **ask) == [("not_activated", "activation", "activate")]
    await given.activation(license_)
    assert await rows(given, product, features=["cloud"], **ask) == [("feature_missing", "license", "upgrade")]
    given.clock.forward(minutes=10)
    assert await rows(given, product, **ask) == [("lease_expired", "activation", "activate")]


async def test_agreements(given: Given) -> None:
    found, license_ = await everything(given)
    person = await given.strong()
    await given.activation(license_)
    ask = {"license_key": license_["key"], **HERE}
    assert await rows(given, found["product"], person, **ask) == [("agreement_required", "eula", "accept_agreement")]
    given.expect(await making.decide(given, person, await making.present(given, person, found), "decline"))
    assert await rows(given, found["product"], person, **ask) == [("agreement_declined", "eula", "accept_agreement")]


async def test_an_assigned_user_of_another_license_is_told_to_ask_the_seller(given: Given) -> None:
    ask, license_ = await of_license(given, {"max_users": 2}, active=False)
    told = await rows(given, license_["product"], await given.logged_in(), **ask)
    assert told[0] == ("user_not_assigned", "license", "contact_seller")


Scene = Callable[[Given], Awaitable[Told]]


async def _in_grace(given: Given) -> Told:
    ask, license_ = await of_license(given, {"grace": "P2D"}, starts_at="2026-11-01T00:00:00Z", expires_at="2026-11-22T00:00:00Z")
    return await given.access(license_["product"], **ask)


async def _soon(given: Given) -> Told:
    ask, license_ = await of_license(given, expires_at=instant_text(given.clock.now() + timedelta(days=14)))
    return await given.access(license_["product"], **ask)


async def _over_limit(given: Given) -> Told:
    ask, license_ = await of_license(given, {"max_seats": 2})
    await given.activation(license_, "phone")
    given.expect(await given.client.patch(f"/v1/policies/{license_['policy_id']}", json={"max_seats": 1}, headers=given.root))
    return await given.access(license_["product"], **ask)


async def _lease_ending(given: Given) -> Told:
    ask, license_ = await of_license(given, {"lease": "PT10M"})
    given.clock.forward(minutes=5)
    return await given.access(license_["product"], dry_run=True, **ask)


async def _agreements(given: Given, *change: str, **body: Any) -> Told:
    found, license_, person = await allowed(given)
    await making.create_published(given, found, change_class=change[0] if change else "material", **body)
    return await given.access(found["product"], person, license_key=license_["key"], **HERE)


SCENES: Mapping[str, Scene] = {
    "in_grace": _in_grace,
    "expires_soon": _soon,
    "over_limit": _over_limit,
    "lease_ending": _lease_ending,
    "agreement_in_grace": lambda given: _agreements(given, grace_until=making.days_from_now(given, 1)),
    "agreement_upcoming": lambda given: _agreements(given, effective_at=making.days_from_now(given, 1)),
    "agreement_notice": lambda given: _agreements(given, "notice"),
}


@pytest.mark.parametrize("code", SCENES)
async def test_every_warning_of_the_contract(given: Given, code: str) -> None:
    told = await SCENES[code](given)
    assert [warned["code"] for warned in told["warnings"]] == [code]
    assert codes(told) == []


async def test_a_grant_outlives_nothing_that_it_rests_on(given: Given, app: FastAPI) -> None:
    """Each thing that ends sooner takes the grant with it, to the second; and `check_again_at` says the same."""
    given.configured(app, session_lifetime=timedelta(minutes=13))
    found, license_, person = await allowed(given)
    policy = given.expect(await given.client.get(f"/v1/policies?product={found['product']}", headers=given.root))["data"][0]
    ask = {"license_key": license_["key"], **HERE}

    async def lasting() -> float:
        told = await given.access(found["product"], person, **ask)
        claims = jwt.decode(told["grant"], options={"verify_signature": False})
        assert claims["iat"] == int(given.clock.now().timestamp())
        until = given.clock.now() + timedelta(seconds=claims["exp"] - claims["iat"])
        assert told["check_again_at"] == instant_text(until)
        return float(claims["exp"] - claims["iat"]) / 60

    assert await lasting() == 13  # the session
    given.configured(app, second_factor_lifetime=timedelta(minutes=12))
    assert await lasting() == 12
    given.expect(await given.client.patch(f"/v1/policies/{policy['id']}", json={"lease": "PT11M"}, headers=given.root))
    assert await lasting() == 11  # which the first question wrote
    await making.create_published(given, found, effective_at=making.days_from_now(given, 10 / 1440))
    assert await lasting() == 10
    ends = {"expires_at": instant_text(given.clock.now() + timedelta(minutes=9))}
    given.expect(await given.client.patch(f"/v1/licenses/{license_['id']}", json=ends, headers=given.root))
    assert await lasting() == 9
    given.configured(app, grant_lifetime=timedelta(minutes=8))
    told = await given.access(found["product"], person, **ask)
    claims = jwt.decode(told["grant"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 480


async def test_a_grant_lets_nobody_in_and_an_operator_is_nobody_who_asks(given: Given) -> None:
    license_ = await given.license()
    body = {"product": license_["product"], "license_key": license_["key"]}
    grant = (await given.access(license_["product"], license_key=license_["key"]))["grant"]
    for path in ("/v1/access", "/v1/licenses/validate"):
        problem(await given.client.post(path, json=body, headers={"Authorization": f"Bearer {grant}"}), 401, "token_invalid")
    problem(await given.client.post("/v1/access", json=body, headers=given.root), 403, "subject_token_required")


async def test_the_nonce_comes_back_in_the_answer_and_in_the_grant(given: Given) -> None:
    license_ = await given.license()
    for nonce in ("n" * 128, "läufer", None):
        told = await given.access(license_["product"], license_key=license_["key"], nonce=nonce)
        claims = jwt.decode(told["grant"], options={"verify_signature": False})
        assert told["nonce"] == claims.get("nonce") == nonce
    refused = await given.access(license_["product"], license_key="nonsense", nonce="n-1")
    assert (codes(refused), refused["nonce"]) == (["license_not_found"], "n-1")
