"""Offline files: signed, bound to the device, valid no longer than the license; verified with third-party tools."""

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


async def request_file(given: Given, license_: dict[str, Any], fingerprint: str | None = "laptop", **more: Any) -> Any:
    device = {"device": {"fingerprint": fingerprint}} if fingerprint else {}
    return await given.client.post("/v1/offline-files", json={"license_key": license_["key"], **device, **more})


async def verify_file(given: Given, token: str) -> dict[str, Any]:
    """Verify a file with a third-party JOSE library and the published keys only, and return its claims."""
    key_set = jwt.PyJWKSet.from_dict((await given.client.get("/.well-known/jwks.json")).json())
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["alg"]) == ("offline-license+jwt", "EdDSA")
    claims: dict[str, Any] = jwt.decode(
        token, key_set[header["kid"]], algorithms=["EdDSA"], options={"verify_aud": False, "verify_exp": False, "verify_iat": False}
    )
    return claims


def read_end(claims: dict[str, Any]) -> str:
    return datetime.fromtimestamp(claims["exp"], UTC).isoformat()[:16]


async def test_a_file_states_what_the_license_allows_on_the_device(given: Given) -> None:
    license_ = await given.seats(1, features={"tier": "pro"}, duration="P1Y")
    activation = await given.activation(license_)
    answer = await request_file(given, license_, ttl="P30D", nonce="n-1")
    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/jose")
    claims = await verify_file(given, answer.text.strip())
    assert claims["dev"] == sha256(b"laptop").hexdigest()
    assert (claims["lic"], claims["act"], claims["aud"]) == (license_["id"], activation["activation"]["id"], license_["product"])
    assert (claims["features"], claims["nonce"], claims["issued_at"]) == ({"tier": "pro"}, "n-1", "2026-11-22T12:00:00.000Z")
    assert claims["license"]["expires_at"] == license_["expires_at"]
    assert read_end(claims) == "2026-12-22T12:00"


@pytest.mark.parametrize(
    ("policy", "content", "until"),
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
    given: Given, policy: dict[str, Any], content: dict[str, Any], until: str
) -> None:
    license_ = await given.seats(1, **policy)
    await given.activation(license_)
    assert read_end(await verify_file(given, (await request_file(given, license_, **content)).text.strip())) == until


async def test_a_file_renews_the_lease_of_its_seat(given: Given) -> None:
    license_ = await given.seats(1, lease="P7D")
    await given.activation(license_)
    given.clock.forward(days=6)
    assert read_end(await verify_file(given, (await request_file(given, license_)).text.strip())) == "2026-12-05T12:00"
    given.clock.forward(days=6)
    other = {"license_key": license_["key"], "device": {"fingerprint": "phone"}}
    problem(await given.client.post("/v1/activations", json=other), 409, "seat_limit_reached")


async def test_r2_a_file_requires_a_live_seat_and_a_valid_license(given: Given) -> None:
    license_ = await given.seats(1, lease="P1D")
    problem(await request_file(given, license_), 403, "not_activated")
    problem(await request_file(given, license_, None), 403, "device_required")
    await given.activation(license_)
    given.clock.forward(days=1)
    problem(await request_file(given, license_), 403, "lease_expired")
    await given.activation(license_)
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    problem(await request_file(given, license_), 403, "license_suspended")


async def test_an_activation_token_can_request_a_file(given: Given) -> None:
    license_ = await given.seats(1)
    activation = await given.activation(license_)
    answer = await given.client.post("/v1/offline-files", json={}, headers={"Authorization": f"Bearer {activation['token']}"})
    assert (await verify_file(given, answer.text.strip()))["dev"] == sha256(b"laptop").hexdigest()
    other = {"device": {"fingerprint": "phone"}}
    problem(
        await given.client.post("/v1/offline-files", json=other, headers={"Authorization": f"Bearer {activation['token']}"}),
        403,
        "not_activated",
    )


async def test_a_file_without_seats_is_bound_to_the_device_in_the_request(given: Given) -> None:
    license_ = await given.license()
    assert (await verify_file(given, (await request_file(given, license_)).text.strip()))["dev"] == sha256(b"laptop").hexdigest()
    assert "dev" not in await verify_file(given, (await request_file(given, license_, None)).text.strip())


@pytest.mark.parametrize("ttl", ["", "30", "P0D", "-P1D", "P9000Y", 30])
async def test_an_invalid_ttl_is_refused_by_name(given: Given, ttl: object) -> None:
    refusal = problem(await request_file(given, await given.license(), ttl=ttl), 422, "malformed")
    assert refusal["errors"][0]["pointer"] == "/ttl"


async def test_r45_openssl_alone_verifies_a_file(given: Given) -> None:
    token = (await request_file(given, await given.license())).text.strip()
    signed, _, signature = token.encode().rpartition(b".")
    (jwk,) = (await given.client.get("/.well-known/jwks.json")).json()["keys"]
    public, proof = (base64.urlsafe_b64decode(text + b"==") for text in (jwk["x"].encode(), signature))
    assert openssl.verifies(public, signed, proof)
    assert not openssl.verifies(public, signed[:-1], proof)


async def test_r44_a_file_is_not_accepted_as_another_token(given: Given) -> None:
    license_ = await given.license()
    token = (await request_file(given, license_)).text.strip()
    problem(await given.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}), 401, "token_invalid")
    grant = (await given.access(license_["product"], license_key=license_["key"]))["grant"]
    assert jwt.get_unverified_header(grant)["typ"] != jwt.get_unverified_header(token)["typ"]


def test_r47_a_genuine_file_can_be_expired_or_for_another_device() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    at = int(now.timestamp())
    assert find_time_fault({"iat": at, "exp": at + 1}, now) is None
    assert "expired at 2026-11-22T00:00:00.000Z" in str(find_time_fault({"iat": at - 5, "exp": at}, now))
    assert "clock of this computer is wrong" in str(find_time_fault({"iat": at + 3600, "exp": at + 7200}, now))
    bound = {"dev": sha256(b"laptop").hexdigest()}
    assert (find_device_fault(bound, "laptop"), find_device_fault(bound, None), find_device_fault({}, "x")) == (None, None, None)
    assert "another device" in str(find_device_fault(bound, "phone"))


async def test_every_feature_fits_in_a_file(given: Given) -> None:
    """A hundred features of 512 characters make a file far larger than a token in a header can be."""
    license_ = await given.license(await given.policy(features={f"feature-{number}": "ш" * 512 for number in range(100)}))
    token = (await request_file(given, license_)).text.strip()
    assert len(json.dumps((await verify_file(given, token))["features"])) > 50_000
