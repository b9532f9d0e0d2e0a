"""Each kind of token is accepted by its own calls and refused by all others."""

import httpx
import pytest

from app.web.addresses import parse_address
from tests.assertions import problem
from tests.given import Given


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Basic b3A6b3A=", "Bearer op_wrong", "Bearer eyJ.x.y", "op_x", "Login op_x", "Bearer lgn_x", "Bearer \xff"],
)
async def test_an_invalid_credential_is_a_401(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.get("/v1/products", headers=[(b"Authorization", header.encode("latin-1"))])
    problem(answer, 401, "token_invalid")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_missing_credential_is_a_401_with_a_challenge(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/products")
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_of_another_kind_is_refused(given: Given) -> None:
    person = await given.logged_in()
    license_ = await given.seats()
    seat = await given.activation(license_)
    device = {"Authorization": f"Bearer {seat['token']}"}
    problem(await given.client.get("/v1/products", headers=person.auth), 403, "operator_key_required")
    problem(await given.client.get("/v1/products", headers=device), 403, "operator_key_required")
    problem(await given.client.get("/v1/me", headers=given.root), 403, "subject_token_required")
    problem(await given.client.get("/v1/me", headers=device), 403, "subject_token_required")
    problem(await given.client.post("/v1/access", json={"product": "x"}, headers=given.root), 403, "subject_token_required")
    heartbeat = f"/v1/activations/{seat['activation']['id']}/heartbeat"
    problem(await given.client.post(heartbeat, headers=given.root), 403, "activation_token_required")
    problem(await given.client.get("/v1/login", headers=person.auth), 403, "login_handle_required")


async def test_a_login_handle_is_not_a_bearer_token(given: Given) -> None:
    """Authentication R55."""
    person = await given.with_totp()
    begun = await given.post("/v1/login", {"identifier": person.email, "password": person.password}, {})
    token = begun["login"]["token"]
    problem(await given.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}), 401, "token_invalid")
    problem(await given.client.get("/v1/me", headers={"Authorization": f"Login {token}"}), 403, "subject_token_required")


@pytest.mark.parametrize(
    ("scopes", "read", "write"),
    [(["catalog:read"], 200, 403), (["catalog:write"], 200, 201), (["*"], 200, 201), (["users:write"], 403, 403)],
)
async def test_scopes(given: Given, scopes: list[str], read: int, write: int) -> None:
    auth = await given.operator(*scopes)
    assert (await given.client.get("/v1/products", headers=auth)).status_code == read
    answer = await given.client.post("/v1/products", json={"code": "x", "name": "X"}, headers=auth)
    assert answer.status_code == write


async def test_a_key_cannot_grant_more_scopes_than_it_has(given: Given) -> None:
    auth = await given.operator("api_keys:write")
    answer = await given.client.post("/v1/api-keys", json={"name": "x", "scopes": ["*"]}, headers=auth)
    problem(answer, 403, "scope_beyond_own")


async def test_a_revoked_key_is_refused_at_once_and_revoking_again_changes_nothing(given: Given) -> None:
    created = await given.post("/v1/api-keys", {"name": "x", "scopes": ["*"]})
    auth = {"Authorization": f"Bearer {created['key']}"}
    for _ in range(2):
        assert (await given.client.delete(f"/v1/api-keys/{created['id']}", headers=given.root)).status_code == 204
    problem(await given.client.get("/v1/products", headers=auth), 401, "token_invalid")


async def test_a_key_is_refused_from_its_expiry_on(given: Given) -> None:
    created = await given.post("/v1/api-keys", {"name": "x", "scopes": ["*"], "expires_at": "2026-11-22T12:10:00Z"})
    auth = {"Authorization": f"Bearer {created['key']}"}
    given.clock.forward(minutes=9, seconds=59, milliseconds=999)
    assert (await given.client.get("/v1/products", headers=auth)).status_code == 200
    given.clock.forward(milliseconds=1)
    problem(await given.client.get("/v1/products", headers=auth), 401, "token_invalid")


async def test_an_operator_key_is_stored_as_a_digest_and_listed_without_secret(given: Given) -> None:
    created = await given.post("/v1/api-keys", {"name": "x", "scopes": ["catalog:read"]})
    listed = await given.client.get("/v1/api-keys", headers=given.root)
    assert created["key"] not in listed.text
    assert listed.json()["data"][0]["name"] == "x"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:DB8::1", "2001:db8::1"),
        ("garbage", None),
        ("x" * 500, None),
        ("", None),
        ("1.2.3.4:80", None),
    ],
)
def test_r46_only_an_ip_address_is_parsed(text: str, address: str | None) -> None:
    assert parse_address(text) == address


async def test_an_expiring_key_creates_no_key_that_outlives_it(given: Given) -> None:
    soon, later = "2026-11-22T13:00:00Z", "2026-11-22T14:00:00Z"
    created = await given.post("/v1/api-keys", {"name": "x", "scopes": ["*"], "expires_at": soon})
    auth = {"Authorization": f"Bearer {created['key']}"}
    for more in ({}, {"expires_at": later}):
        answer = await given.client.post("/v1/api-keys", json={"name": "y", "scopes": ["*"], **more}, headers=auth)
        problem(answer, 403, "scope_beyond_own")
    past = {"name": "y", "scopes": ["*"], "expires_at": "2026-11-22T12:00:00Z"}
    problem(await given.client.post("/v1/api-keys", json=past, headers=given.root), 422, "malformed")
