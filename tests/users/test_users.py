"""Tests of end users, managed by an operator."""

import pytest
from sqlalchemy import func, select

from app.events.models import Event
from tests.assertions import problem
from tests.given import Given


async def test_a_profile_is_stored_and_changed(given: Given) -> None:
    body = {
        "email": "Kari@Example.com",
        "display_name": "Кари 凯莉",
        "locale": "zh-hans",
        "external_id": "crm-1",
        "metadata": {"vip": True},
    }
    user = await given.post("/v1/users", body)
    assert (user["email"], user["display_name"], user["locale"], user["email_verified"]) == (
        "Kari@example.com",
        "Кари 凯莉",
        "zh-Hans",
        False,
    )
    path = f"/v1/users/{user['id']}"
    changed = given.expect(await given.client.patch(path, json={"display_name": None, "email_verified": True}, headers=given.root))
    assert (changed["display_name"], changed["email_verified"], changed["metadata"]) == (None, True, {"vip": True})
    assert given.expect(await given.client.get(path, headers=given.root)) == changed
    page = given.expect(await given.client.get("/v1/users?email=KARI@example.com", headers=given.root))
    assert [row["id"] for row in page["data"]] == [user["id"]]


async def test_r75_addresses_and_external_ids_are_unique(given: Given) -> None:
    await given.post("/v1/users", {"email": "kari@example.com", "external_id": "crm-1"})
    for body, code in (
        ({"email": "KARI@example.com"}, "email_taken"),
        ({"email": "ola@example.com", "external_id": "crm-1"}, "user_external_id_taken"),
    ):
        problem(await given.client.post("/v1/users", json=body, headers=given.root), 409, code)


@pytest.mark.parametrize(
    "email",
    ["", "kari", "kari@", "@example.com", "kari@example", "a\u0000@example.com", "kari\uff20example.com", "k" * 250 + "@example.com", 7],
)
async def test_r76_an_invalid_address_is_refused(given: Given, email: object) -> None:
    error = problem(await given.client.post("/v1/users", json={"email": email}, headers=given.root), 422, "malformed")
    assert error["errors"][0]["pointer"] == "/email"


async def test_r81_unknown_fields_are_refused(given: Given) -> None:
    for name in ("status", "id", "created_at", "email_verified_at"):
        answer = await given.client.post("/v1/users", json={"email": "a@example.com", name: "active"}, headers=given.root)
        problem(answer, 422, "malformed")


async def test_null_for_a_required_value_is_refused(given: Given) -> None:
    person = await given.person()
    answer = await given.client.patch(f"/v1/users/{person.id}", json={"metadata": None}, headers=given.root)
    problem(answer, 422, "malformed")


async def test_suspending_twice_records_one_event(given: Given) -> None:
    person = await given.person()
    for _ in range(2):
        assert (await given.post(f"/v1/users/{person.id}/suspend"))["status"] == "suspended"
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(Event).where(Event.type == "user.suspended")) == 1
