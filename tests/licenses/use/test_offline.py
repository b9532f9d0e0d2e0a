"""Offline files: signed, bound to the device, never longer than the license; verified by strangers' tools."""

import base64
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import jwt
import pytest

from app.cli.verify import find_device_fault, find_time_fault
from tests.assertions import problem
from tests.given import Given
from tests.licenses.use import openssl


async def file(given: Given, license_: dict[str, Any], fingerprint: str | None = "laptop", **more: Any) -> Any:
    device = {"device": {"fingerprint": fingerprint}} if fingerprint else {}
    return await given.client.post("/v1/offline-files", json={"license_key": license_["key"], **device, **more})


async def opened(given: Given, token: str) -> dict[str, Any]:
    """Verified by a JOSE library that is not ours, with the published keys and nothing else."""
    key_set = jwt.PyJWKSet.from_dict((await given.client.get("/.well-known/jwks.json")).json())
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["alg"]) == ("offline-license+jwt", "EdDSA")
    claims: dict[str, Any] = jwt.decode(
        token, key_set[header["kid"]], algorithms=["EdDSA"], options={"verify_aud": False, "verify_exp": False, "verify_iat": False}
    )
    return claims


def day(claims: dict[str, Any]) -> str:
    return datetime.fromtimestamp(claims["exp"], UTC).isoformat()[:16]


async def test_a_file_says_what_the_license_allows_this_device(given: Given) -> None:
    license_ = await given.seats(1, features={"tier": "pro"}, duration="P1Y")
    held = await given.activation(license_)
    answer = await file(given, license_, ttl="P30D", nonce="n-1")
    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/jose")
    claims = await opened(given, answer.text.strip())
    assert claims["dev"] == sha256(b"laptop").hexdigest()
    assert (claims["lic"], claims["act"], claims["aud"]) == (license_["id"], held["activation"]["id"], license_["product"])
    assert (claims["features"], claims["nonce"], claims["issued_at"]) == ({"tier": "pro"}, "n-1", "2026-11-22T12:00:00.000Z")
    assert claims["license"]["expires_at"] == license_["expires_at"]
    assert day(claims) == "2026-12-22T12:00"


@pytest.mark.parametrize(
    ("policy", "asked", "until"),
    [
        ({}, {}, "2026-12-22T12:00"),
        ({}, {"ttl": "P90D"}, "2026-12-22T12:00"),
        ({"offline_ttl": "P1Y"}, {"ttl": "P90D"}, "2027-02-20T12:00"),
        ({"offline_ttl": "P7D"}, {}, "2026-11-29T12:00"),
        ({"offline_ttl": "P7D"}, {"ttl": "P30D"}, "2026-11-29T12:00"),
        ({"offline_ttl": "P7D"}, {"ttl": "PT1H"}, "2026-11-22T13:00"),
        ({"duration": "P10D"}, {"ttl": "P30D"}, "2026-12-02T12:00"),
        ({"duration": "P10D", "grace": "P5D"}, {"ttl": "P30D"}, "2026-12-07T12:00"),
        ({"lease": "P7D"}, {"ttl": "P30D"}, "2026-11-29T12:00"),
    ],
    ids=str,
)
async def test_r46_a_file_ends_with_the_first_of_ttl_expiry_and_lease(
    given: Given, policy: dict[str, Any], asked: dict[str, Any], until: str
) -> None:
    license_ = await given.seats(1, **policy)
    await given.activation(license_)
    assert day(await opened(given, (await file(given, license_, **asked)).text.strip())) == until


async def test_a_file_renews_the_lease_it_rests_on(given: Given) -> None:
    license_ = await given.seats(1, lease="P7D")
    await given.activation(license_)
    given.clock.forward(days=6)
    assert day(await opened(given, (await file(given, license_)).text.strip())) == "2026-12-05T12:00"
    given.clock.forward(days=6)
    other = {"license_key": license_["key"], "device": {"fingerprint": "phone"}}
    problem(await given.client.post("/v1/activations", json=other), 409, "seat_limit_reached")


async def test_r2_a_file_is_for_a_seat_that_lives_and_a_license_that_stands(given: Given) -> None:
    license_ = await given.seats(1, lease="P1D")
    problem(await file(given, license_), 403, "not_activated")
    problem(await file(given, license_, None), 403, "device_required")
    await given.activation(license_)
    given.clock.forward(days=1)
    problem(await file(given, license_), 403, "lease_expired")
    await given.activation(license_)
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    problem(await file(given, license_), 403, "license_suspended")


async def test_a_seats_own_token_asks_for_its_file(given: Given) -> None:
    license_ = await given.seats(1)
    held = await given.activation(license_)
    answer = await given.client.post("/v1/offline-files", json={}, headers={"Authorization": f"Bearer {held['token']}"})
    assert (await opened(given, answer.text.strip()))["dev"] == sha256(b"laptop").hexdigest()
    other = {"device": {"fingerprint": "phone"}}
    problem(
        await given.client.post("/v1/offline-files", json=other, headers={"Authorization": f"Bearer {held['token']}"}), 403, "not_activated"
    )


async def test_a_license_without_seats_is_bound_to_the_device_that_is_named(given: Given) -> None:
    license_ = await given.license()
    assert (await opened(given, (await file(given, license_)).text.strip()))["dev"] == sha256(b"laptop").hexdigest()
    assert "dev" not in await opened(given, (await file(given, license_, None)).text.strip())


@pytest.mark.parametrize("ttl", ["", "30", "P0D", "-P1D", "P9000Y", 30])
async def test_a_ttl_that_is_none_is_named(given: Given, ttl: object) -> None:
    told = problem(await file(given, await given.license(), ttl=ttl), 422, "malformed")
    assert told["errors"][0]["pointer"] == "/ttl"


async def test_r45_openssl_alone_verifies_a_file(given: Given) -> None:
    token = (await file(given, await given.license())).text.strip()
    signed, _, signature = token.encode().rpartition(b".")
    (jwk,) = (await given.client.get("/.well-known/jwks.json")).json()["keys"]
    public, proof = (base64.urlsafe_b64decode(text + b"==") for text in (jwk["x"].encode(), signature))
    assert openssl.verifies(public, signed, proof)
    assert not openssl.verifies(public, signed[:-1], proof)


async def test_r44_a_file_passes_for_nothing_else(given: Given) -> None:
    license_ = await given.license()
    token = (await file(given, license_)).text.strip()
    problem(await given.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}), 401, "token_invalid")
    grant = (await given.access(license_["product"], license_key=license_["key"]))["grant"]
    assert jwt.get_unverified_header(grant)["typ"] != jwt.get_unverified_header(token)["typ"]


def test_r47_why_a_genuine_file_does_not_hold() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    at = int(now.timestamp())
    assert find_time_fault({"iat": at, "exp": at + 1}, now) is None
    assert "expired, at 2026-11-22T00:00:00.000Z" in str(find_time_fault({"iat": at - 5, "exp": at}, now))
    assert "clock was set back" in str(find_time_fault({"iat": at + 3600, "exp": at + 7200}, now))
    bound = {"dev": sha256(b"laptop").hexdigest()}
    assert (find_device_fault(bound, "laptop"), find_device_fault(bound, None), find_device_fault({}, "x")) == (None, None, None)
    assert "another device" in str(find_device_fault(bound, "phone"))


async def test_every_feature_fits_in_a_file(given: Given) -> None:
    """A hundred features of 512 signs make a file far larger than any token that travels in a header."""
    license_ = await given.license(await given.policy(features={f"feature-{number}": "ш" * 512 for number in range(100)}))
    token = (await file(given, license_)).text.strip()
    assert len(json.dumps((await opened(given, token))["features"])) > 50_000
