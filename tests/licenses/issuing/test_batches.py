"""Many licenses at once, keys that the vendor brings, and finding them again."""

from typing import Any

import pytest

from tests.assertions import problem
from tests.given import Given


async def issue(given: Given, **more: Any) -> Any:
    policy = await given.policy()
    return await given.client.post("/v1/licenses", json={"policy_id": policy["id"], **more}, headers=given.root)


async def test_a_thousand_at_once_all_usable(given: Given) -> None:
    made = given.expect(await issue(given, count=1000))["data"]
    assert len({it["id"] for it in made}) == len({it["key"] for it in made}) == 1000
    last = made[-1]
    told = await given.post("/v1/licenses/validate", {"license_key": last["key"], "product": last["product"]}, {})
    assert (told["code"], told["license"]["id"]) == ("ok", last["id"])


async def test_a_batch_is_all_or_none(given: Given) -> None:
    nobody = "01a20425-e3be-7668-b49e-2764d5846dd4"
    problem(await issue(given, count=3, users=[nobody]), 404, "user_not_found")
    assert given.expect(await given.client.get("/v1/licenses", headers=given.root))["data"] == []
    person = await given.person()
    made = given.expect(await issue(given, count=2, users=[person.id, person.id]))["data"]
    assert [it["users"] for it in made] == [[person.id], [person.id]]
    assert len(given.expect(await issue(given, count=1))["data"]) == 1


@pytest.mark.parametrize(
    "more", [{"count": 0}, {"count": 1001}, {"count": "2"}, {"count": 2, "key": "LEGACY-1"}, {"count": 2, "external_id": "x"}], ids=str
)
async def test_what_a_batch_cannot_be(given: Given, more: dict[str, Any]) -> None:
    problem(await issue(given, **more), 422, "malformed")


async def test_r49_a_key_that_the_vendor_brings_is_read_as_forgivingly(given: Given) -> None:
    made = given.expect(await issue(given, key="Legacy-Foil 2019"))
    assert (made["key"], made["key_last4"]) == ("Legacy-Foil 2019", "2019")
    for typed in ("legacyfoil2019", " LEGACY FO1L 2O19 ", "LegacyFoil\u20142019"):
        told = await given.post("/v1/licenses/validate", {"license_key": typed, "product": made["product"]}, {})
        assert told["code"] == "ok", typed
    assert (await given.post("/v1/licenses/lookup", {"license_key": "legacy-foil-2019"}))["id"] == made["id"]
    problem(await issue(given, key="LEGACYFOIL2019"), 409, "license_key_taken")


@pytest.mark.parametrize("key", ["12345", "x" * 256, "------", "ab\tcdefg", "      ", 123456, ""])
async def test_a_key_that_is_none_is_refused(given: Given, key: object) -> None:
    told = problem(await issue(given, key=key), 422, "malformed")
    assert told["errors"][0]["pointer"] == "/key"


async def test_keys_of_six_and_of_two_hundred_and_fifty_five_characters(given: Given) -> None:
    for key in ("abc123", "k" * 255, "ключ-от-всего"):
        made = given.expect(await issue(given, key=key))
        told = await given.post("/v1/licenses/validate", {"license_key": key, "product": made["product"]}, {})
        assert told["code"] == "ok"


async def found(given: Given, query: str) -> list[str]:
    told = given.expect(await given.client.get(f"/v1/licenses?{query}", headers=given.root))
    return [it["id"] for it in told["data"]]


async def test_every_filter_finds_what_it_says(given: Given) -> None:
    customer = await given.post("/v1/customers", {"name": "Ødegård Ærlig AS", "email": "post@odegard.example"})
    person = await given.person(display_name="Жанна")
    policy = await given.policy()
    wanted = await given.license(policy, customer_id=customer["id"], users=[person.id], external_id="order-77%", key="foil-foil")
    other = await given.license(expires_at="2027-01-01T00:00:00Z")
    for query in (
        f"product={wanted['product']}", f"policy={policy['id']}", f"customer={customer['id']}", f"user={person.id}",
        "external_id=order-77%25",
        "key_last4=foil", "key_last4=FOIL", "q=ødegård", "q=ÆRLIG", "q=ODEGARD.example", "q=жанна", "q=ORDER-77%25", "q=foil",
    ):  # fmt: skip
        assert await found(given, query) == [wanted["id"]], query
    assert await found(given, "expires_before=2027-01-02T00:00:00Z") == [other["id"]]
    assert await found(given, "q=_") == []
    assert await found(given, f"q={other['key_last4'].lower()}") == [other["id"]]


async def test_r18_the_status_filter_agrees_with_the_status(given: Given) -> None:
    policy = await given.policy(duration="P1D", grace="P1D")
    first = await given.policy(seat_by="device", max_seats=1, starts="first_activation", duration="P1D")
    for more in ({}, {"starts_at": "2027-01-01T00:00:00Z"}, {"starts_at": "2026-11-01T00:00:00Z"}, {"starts_at": "2026-11-21T06:00:00Z"}):
        for action in (None, "suspend", "revoke"):
            made = await given.license(policy, **more)
            if action:
                await given.post(f"/v1/licenses/{made['id']}/{action}")
    await given.license(first)
    every = given.expect(await given.client.get("/v1/licenses?limit=200", headers=given.root))["data"]
    statuses = ("revoked", "suspended", "not_started", "expired", "in_grace", "active")
    assert {it["status"] for it in every} == set(statuses)
    for status in statuses:
        assert await found(given, f"status={status}&limit=200") == [it["id"] for it in every if it["status"] == status]


@pytest.mark.parametrize(
    "query", ["status=gone", "key_last4=abc", "key_last4=abcde", "expires_before=tomorrow", "q=", "limit=-1", "cursor=x"]
)
async def test_a_filter_that_is_none_is_named(given: Given, query: str) -> None:
    told = problem(await given.client.get(f"/v1/licenses?{query}", headers=given.root), 422, "malformed")
    assert told["errors"][0]["pointer"] == f"query:{query.partition('=')[0]}"


async def test_a_cursor_of_another_list_is_refused_and_pages_stay_right_while_rows_are_added(given: Given) -> None:
    policy = await given.policy()
    made = [(await given.license(policy))["id"] for _ in range(5)]
    first = given.expect(await given.client.get("/v1/licenses?limit=2", headers=given.root))
    await given.license(policy)
    second = given.expect(await given.client.get(f"/v1/licenses?limit=2&cursor={first['next_cursor']}", headers=given.root))
    assert [it["id"] for it in (*first["data"], *second["data"])] == made[:0:-1]
    answer = await given.client.get(f"/v1/activations?cursor={first['next_cursor']}", headers=given.root)
    problem(answer, 422, "malformed")
