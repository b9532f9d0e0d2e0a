"""Tests of a user's own profile, and of the fields that operators and users share."""

from typing import Any

import pytest

from tests.assertions import problem
from tests.given import Given

PROFILE = {
    "display_name": "Kari",
    "locale": "nb",
    "region": "no",
    "timezone": "Europe/Oslo",
    "preferences": {"agreement_format": "large_print", "reduced_motion": True},
}


async def test_a_user_reads_and_changes_their_own_profile(given: Given) -> None:
    person = await given.logged_in()
    result = given.expect(await given.client.patch("/v1/me", json=PROFILE, headers=person.auth))["user"]
    assert {name: result[name] for name in PROFILE} == {
        **PROFILE,
        "region": "NO",
        "preferences": {"agreement_format": "large_print", "reduced_motion": True, "screen_reader": None},
    }
    assert given.expect(await given.client.get("/v1/me", headers=person.auth))["user"] == result
    assert given.expect(await given.client.get(f"/v1/users/{person.id}", headers=given.root)) == result
    cleared = given.expect(await given.client.patch("/v1/me", json={"region": None, "preferences": {}}, headers=person.auth))["user"]
    assert (cleared["region"], cleared["preferences"]["reduced_motion"], cleared["timezone"]) == (None, None, "Europe/Oslo")


@pytest.mark.parametrize(
    "body",
    [
        {"region": "Norway"},
        {"region": "n1"},
        {"timezone": "../etc/passwd"},
        {"timezone": "Europe/"},
        {"age_band": "elderly"},
        {"age_band": None},
        {"preferences": None},
        {"preferences": {"colour": "red"}},
    ],
)
async def test_invalid_profile_fields_are_refused(given: Given, body: dict[str, Any]) -> None:
    person = await given.logged_in()
    problem(await given.client.patch("/v1/me", json=body, headers=person.auth), 422, "malformed")
    if None not in body.values():
        created = {"email": "kari@example.com", **body}
        problem(await given.client.post("/v1/users", json=created, headers=given.root), 422, "malformed")


@pytest.mark.parametrize("field", ["email", "email_verified", "external_id", "metadata", "status", "user_id", "auth_epoch"])
async def test_r81_r82_users_cannot_change_fields_of_the_operator(given: Given, field: str) -> None:
    person = await given.logged_in()
    problem(await given.client.patch("/v1/me", json={field: "x"}, headers=person.auth), 422, "malformed")


async def test_users_change_their_age_band_only_upwards(given: Given) -> None:
    person = await given.logged_in()
    for band, status in (("minor", 200), ("minor", 200), ("adult", 200), ("minor", 403), ("unknown", 403)):
        answer = await given.client.patch("/v1/me", json={"age_band": band}, headers=person.auth)
        assert answer.status_code == status, band
    problem(answer, 403, "age_band_fixed")
    path = f"/v1/users/{person.id}"
    assert given.expect(await given.client.patch(path, json={"age_band": "minor"}, headers=given.root))["age_band"] == "minor"


async def test_a_user_can_be_created_with_a_full_profile(given: Given) -> None:
    user = await given.post("/v1/users", {"email": "kari@example.com", **PROFILE, "age_band": "adult"})
    assert (user["region"], user["timezone"], user["age_band"]) == ("NO", "Europe/Oslo", "adult")
    bare = await given.post("/v1/users", {"email": "ola@example.com"})
    assert (bare["region"], bare["timezone"], bare["age_band"]) == (None, None, "unknown")
    assert set(bare["preferences"].values()) == {None}


async def test_a_suspended_user_cannot_read_or_change_the_profile(given: Given) -> None:
    person = await given.logged_in()
    await given.post(f"/v1/users/{person.id}/suspend")
    for answer in (await given.client.get("/v1/me", headers=person.auth), await given.client.patch("/v1/me", json={}, headers=person.auth)):
        problem(answer, 401, "token_invalid")
