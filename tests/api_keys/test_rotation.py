"""Tests of rotating an operator key without an interruption."""

import asyncio
from typing import Any

import httpx

from tests.given import Given


async def rotate(given: Given, key_id: str, by: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return await given.client.post(f"/v1/api-keys/{key_id}/rotate", json=body, headers=by or given.root)


async def is_accepted(given: Given, key: str) -> bool:
    answer = await given.client.get("/v1/products", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


async def list_keys(given: Given) -> dict[str, Any]:
    return {row["id"]: row for row in given.expect(await given.client.get("/v1/api-keys", headers=given.root))["data"]}


async def test_both_keys_are_valid_during_the_overlap(given: Given) -> None:
    old = await given.post("/v1/api-keys", {"name": "ci", "scopes": ["catalog:read"]})
    new = given.expect(await rotate(given, old["id"], overlap="PT1H"))
    assert (new["name"], new["scopes"], new["expires_at"]) == ("ci", ["catalog:read"], None)
    given.clock.forward(minutes=59)
    assert (await is_accepted(given, old["key"]), await is_accepted(given, new["key"])) == (True, True)
    row = (await list_keys(given))[old["id"]]
    assert (row["replaced_by"], row["expires_at"]) == (new["id"], "2026-11-22T13:00:00.000Z")
    given.clock.forward(minutes=1)
    assert (await is_accepted(given, old["key"]), await is_accepted(given, new["key"])) == (False, True)


async def test_the_last_use_is_recorded_once_an_hour(given: Given) -> None:
    """`last_used_at` is accurate to one hour, so that a much used key costs one write an hour."""
    old = await given.post("/v1/api-keys", {"name": "ci", "scopes": ["catalog:read"]})
    assert (await list_keys(given))[old["id"]]["last_used_at"] is None
    for _ in range(2):
        assert await is_accepted(given, old["key"])
        assert (await list_keys(given))[old["id"]]["last_used_at"] == "2026-11-22T12:00:00.000Z"
        given.clock.forward(minutes=30)
    assert await is_accepted(given, old["key"])
    assert (await list_keys(given))[old["id"]]["last_used_at"] == "2026-11-22T13:00:00.000Z"


async def test_a_key_is_replaced_once_and_only_while_valid(given: Given) -> None:
    old = await given.post("/v1/api-keys", {"name": "ci", "scopes": ["catalog:read"]})
    answers = await asyncio.gather(*(rotate(given, old["id"]) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"api_key_over"}
    short = await given.post("/v1/api-keys", {"name": "ci", "scopes": ["*"], "expires_at": "2026-11-22T12:30:00Z"})
    given.clock.forward(minutes=30)
    assert (await rotate(given, short["id"])).json()["code"] == "api_key_over"
    assert (await rotate(given, old["id"].replace("0", "1"))).json()["code"] == "api_key_not_found"
    assert (await rotate(given, short["id"], overlap="P31D")).status_code == 422


async def test_a_rotation_grants_no_more_than_the_callers_key(given: Given) -> None:
    """Neither the secret of a key with more scopes nor a key that expires later."""
    strong = await given.post("/v1/api-keys", {"name": "root", "scopes": ["*"]})
    weak = await given.operator("api_keys:write", "catalog:read")
    assert (await rotate(given, strong["id"], weak)).json()["code"] == "scope_beyond_own"
    ends = {"expires_at": "2026-11-23T12:00:00Z"}
    short = await given.post("/v1/api-keys", {"name": "short", "scopes": ["*"], **ends})
    by = {"Authorization": f"Bearer {short['key']}"}
    assert (await rotate(given, strong["id"], by)).json()["code"] == "scope_beyond_own"
    assert given.expect(await rotate(given, short["id"], by))["expires_at"] == "2026-11-23T12:00:00.000Z"
