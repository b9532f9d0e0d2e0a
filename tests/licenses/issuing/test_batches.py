"""Issuing many licenses at once, vendor keys, and searching licenses."""

from typing import Any

import pytest

from tests.assertions import problem
from tests.given import Given


async def issue(given: Given, **more: Any) -> Any:
    policy = await given.policy()
    return await given.client.post("/v1/licenses", json={"policy_id": policy["id"], **more}, headers=given.root)


async def test_a_thousand_licenses_are_issued_at_once_and_usable(given: Given) -> None:
    licenses = given.expect(await issue(given, count=1000))["data"]
    assert len({license_["id"] for license_ in licenses}) == len({license_["key"] for license_ in licenses}) == 1000
    last = licenses[-1]
    result = await given.post("/v1/licenses/validate", {"license_key": last["key"], "product": last["product"]}, {})
    assert (result["code"], result["license"]["id"]) == ("ok", last["id"])


async def test_a_batch_issues_all_licenses_or_none(given: Given) -> None:
    unknown = "01a20425-e3be-7668-b49e-2764d5846dd4"
    problem(await issue(given, count=3, users=[unknown]), 404, "user_not_found")
    assert given.expect(await given.client.get("/v1/licenses", headers=given.root))["data"] == []
    person = await given.person()
    licenses = given.expect(await issue(given, count=2, users=[person.id, person.id]))["data"]
    assert [license_["users"] for license_ in licenses] == [[person.id], [person.id]]
    assert len(given.expect(await issue(given, count=1))["data"]) == 1


@pytest.mark.parametrize(
    "more", [{"count": 0}, {"count": 1001}, {"count": "2"}, {"count": 2, "key": "LEGACY-1"}, {"count": 2, "external_id": "x"}], ids=str
)
async def test_an_invalid_batch_is_refused(given: Given, more: dict[str, Any]) -> None:
    problem(await issue(given, **more), 422, "malformed")


async def test_r49_a_vendor_key_is_read_as_tolerantly_as_a_generated_one(given: Given) -> None:
    license_ = given.expect(await issue(given, key="Legacy-Foil 2019"))
    assert (license_["key"], license_["key_last4"]) == ("Legacy-Foil 2019", "2019")
    for typed in ("legacyfoil2019", " LEGACY FO1L 2O19 ", "LegacyFoil\u20142019"):
        result = await given.post("/v1/licenses/validate", {"license_key": typed, "product": license_["product"]}, {})
        assert result["code"] == "ok", typed
    assert (await given.post("/v1/licenses/lookup", {"license_key": "legacy-foil-2019"}))["id"] == license_["id"]
    problem(await issue(given, key="LEGACYFOIL2019"), 409, "license_key_taken")


@pytest.mark.parametrize("key", ["12345", "x" * 256, "------", "ab\tcdefg", "      ", 123456, ""])
async def test_an_invalid_vendor_key_is_refused(given: Given, key: object) -> None:
    refusal = problem(await issue(given, key=key), 422, "malformed")
    assert refusal["errors"][0]["pointer"] == "/key"


async def test_vendor_keys_of_minimum_and_maximum_length_work(given: Given) -> None:
    for key in ("abc123", "k" * 255, "ключ-от-всего"):
        license_ = given.expect(await issue(given, key=key))
        result = await given.post("/v1/licenses/validate", {"license_key": key, "product": license_["product"]}, {})
        assert result["code"] == "ok"


async def find_ids(given: Given, query: str) -> list[str]:
    result = given.expect(await given.client.get(f"/v1/licenses?{query}", headers=given.root))
    return [license_["id"] for license_ in result["data"]]


async def test_every_filter_finds_the_matching_licenses(given: Given) -> None:
    customer = await given.post("/v1/customers", {"name": "Ødegård Ærlig AS", "email": "post@odegard.example"})
    person = await given.person(display_name="Жанна")
    policy = await given.policy()
    match = await given.license(policy, customer_id=customer["id"], users=[person.id], external_id="order-77%", key="foil-foil")
    other = await given.license(expires_at="2027-01-01T00:00:00Z")
    for query in (
        f"product={match['product']}", f"policy={policy['id']}", f"customer={customer['id']}", f"user={person.id}",
        "external_id=order-77%25",
        "key_last4=foil", "key_last4=FOIL", "q=ødegård", "q=ÆRLIG", "q=ODEGARD.example", "q=жанна", "q=ORDER-77%25", "q=foil",
    ):  # fmt: skip
        assert await find_ids(given, query) == [match["id"]], query
    assert await find_ids(given, "expires_before=2027-01-02T00:00:00Z") == [other["id"]]
    assert await find_ids(given, "q=_") == []
    assert await find_ids(given, f"q={other['key_last4'].lower()}") == [other["id"]]


async def test_r18_the_status_filter_agrees_with_the_status(given: Given) -> None:
    policy = await given.policy(duration="P1D", grace="P1D")
    waiting = await given.policy(seat_by="device", max_seats=1, starts="first_activation", duration="P1D")
    for more in ({}, {"starts_at": "2027-01-01T00:00:00Z"}, {"starts_at": "2026-11-01T00:00:00Z"}, {"starts_at": "2026-11-21T06:00:00Z"}):
        for action in (None, "suspend", "revoke"):
            issued = await given.license(policy, **more)
            if action:
                await given.post(f"/v1/licenses/{issued['id']}/{action}")
    await given.license(waiting)
    licenses = given.expect(await given.client.get("/v1/licenses?limit=200", headers=given.root))["data"]
    statuses = ("revoked", "suspended", "not_started", "expired", "in_grace", "active")
    assert {license_["status"] for license_ in licenses} == set(statuses)
    for status in statuses:
        assert await find_ids(given, f"status={status}&limit=200") == [
            license_["id"] for license_ in licenses if license_["status"] == status
        ]


@pytest.mark.parametrize(
    "query", ["status=gone", "key_last4=abc", "key_last4=abcde", "expires_before=tomorrow", "q=", "limit=-1", "cursor=x"]
)
async def test_an_invalid_filter_is_refused_by_name(given: Given, query: str) -> None:
    refusal = problem(await given.client.get(f"/v1/licenses?{query}", headers=given.root), 422, "malformed")
    assert refusal["errors"][0]["pointer"] == f"query:{query.partition('=')[0]}"


async def test_pages_stay_correct_while_rows_are_added_and_other_lists_refuse_the_cursor(given: Given) -> None:
    policy = await given.policy()
    ids = [(await given.license(policy))["id"] for _ in range(5)]
    first = given.expect(await given.client.get("/v1/licenses?limit=2", headers=given.root))
    await given.license(policy)
    second = given.expect(await given.client.get(f"/v1/licenses?limit=2&cursor={first['next_cursor']}", headers=given.root))
    assert [license_["id"] for license_ in (*first["data"], *second["data"])] == ids[:0:-1]
    answer = await given.client.get(f"/v1/activations?cursor={first['next_cursor']}", headers=given.root)
    problem(answer, 422, "malformed")
