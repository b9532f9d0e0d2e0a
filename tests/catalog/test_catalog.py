"""Tests of products, policies and customers."""

from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from app.catalog import rules
from app.catalog.models import Requirement
from tests.assertions import problem
from tests.given import Given


@examples(st.lists(st.sampled_from([item.value for item in Requirement])))
def test_adding_implied_requirements_twice_changes_nothing(requires: list[str]) -> None:
    whole = rules.add_implied(requires)
    assert set(requires) <= set(whole)
    assert rules.add_implied(whole) == whole
    assert ("login" in whole) >= bool({"second_factor", "passkey", "eula"} & set(whole))
    assert ("license" in whole) >= ("activation" in whole)


async def test_implied_requirements_are_stored(given: Given) -> None:
    assert (await given.product(requires=["eula", "activation"]))["requires"] == ["login", "license", "activation", "eula"]


async def test_an_impossible_requirement_is_refused(given: Given) -> None:
    body = {"code": "x", "name": "X", "requires": ["passkey"]}
    error = problem(await given.client.post("/v1/products", json=body, headers=given.root), 422, "requirement_impossible")
    assert error["requirement"] == "passkey"
    product = await given.product(requires=["activation"])
    body = {"product": product["code"], "name": "P", "seat_by": "none"}
    problem(await given.client.post("/v1/policies", json=body, headers=given.root), 422, "requirement_impossible")
    product = await given.product()
    await given.policy(product)
    path = f"/v1/products/{product['code']}"
    problem(await given.client.patch(path, json={"requires": ["activation"]}, headers=given.root), 422, "requirement_impossible")


@pytest.mark.parametrize("body", [{"max_seats": 3}, {"seat_by": "none", "lease": "PT1H"}, {"seat_by": "device"}])
async def test_a_policy_that_contradicts_itself_is_refused(given: Given, body: dict[str, Any]) -> None:
    product = await given.product()
    answer = await given.client.post("/v1/policies", json={"product": product["code"], "name": "P", **body}, headers=given.root)
    problem(answer, 422, "policy_contradiction")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_seats", -1), ("max_seats", 2**31), ("max_seats", 1.5), ("max_seats", "3"), ("max_seats", True), ("max_seats", "Unlimited"),
        ("duration", "1 year"), ("duration", "P0D"), ("duration", "P10000Y"), ("lease", "-PT1M"), ("features", {"export": False}),
        ("features", {"Bad Name": True}), ("features", {"a": {"b": 1}}), ("seat_by", "process"), ("metadata", {"a": {"b": 1}}),
        ("metadata", {"": 1}), ("metadata", {str(n): n for n in range(51)}), ("metadata",
        {"a": 10**20}), ("self_service", 1), ("max_users", None),
    ],
)  # fmt: skip
async def test_policy_fields_out_of_bounds_are_reported(given: Given, field: str, value: object) -> None:
    product = await given.product()
    body = {"product": product["code"], "name": "P", "seat_by": "device", "max_seats": 1, field: value}
    answer = await given.client.post("/v1/policies", json=body, headers=given.root)
    if value is None:
        assert answer.status_code == 201
        return
    error = problem(answer, 422, "malformed")
    assert error["errors"][0]["pointer"].startswith(f"/{field}")


async def test_limits_and_metadata_are_returned_unchanged(given: Given) -> None:
    metadata = {"text": "Тест 测试", "number": 1.5, "flag": False, "nothing": None, "int": 2**53}
    policy = await given.policy(seat_by="device", max_seats="unlimited", max_users=0, metadata=metadata)
    again = given.expect(await given.client.get(f"/v1/policies/{policy['id']}", headers=given.root))
    assert (again["max_seats"], again["max_users"], again["metadata"]) == ("unlimited", 0, metadata)


async def test_codes_and_external_ids_are_unique(given: Given) -> None:
    await given.post("/v1/products", {"code": "one", "name": "One"})
    problem(await given.client.post("/v1/products", json={"code": "one", "name": "Two"}, headers=given.root), 409, "product_code_taken")
    customer = await given.post("/v1/customers", {"name": "Ola", "external_id": "c-1", "email": "ola@example.com"})
    answer = await given.client.post("/v1/customers", json={"name": "Kari", "external_id": "c-1"}, headers=given.root)
    problem(answer, 409, "external_id_taken")
    page = given.expect(await given.client.get("/v1/customers?external_id=c-1", headers=given.root))
    assert page["data"] == [customer]
    changed = await given.client.patch(f"/v1/customers/{customer['id']}", json={"external_id": None}, headers=given.root)
    assert changed.json()["external_id"] is None


async def test_unknown_objects_are_not_found(given: Given) -> None:
    nobody = "01a20425-e3be-7668-b49e-2764d5846dd4"
    for path, code in (
        ("/v1/products/nothing", "product_not_found"), (f"/v1/policies/{nobody}",
        "policy_not_found"), (f"/v1/customers/{nobody}", "customer_not_found"),
    ):  # fmt: skip
        problem(await given.client.get(path, headers=given.root), 404, code)
        problem(await given.client.patch(path, json={}, headers=given.root), 404, code)
