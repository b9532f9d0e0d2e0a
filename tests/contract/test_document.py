"""The OpenAPI document is true to the program: valid, every call says who may make it, and every refusal is a declared code."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from schemathesis import openapi

from app.base.problems import DECLARED
from app.web.errors import PROBLEM_JSON, STATUS
from app.web.pipeline.bodies import MAX_NAMES
from tests.contract.operations import CODE, DOCUMENT, OPERATIONS

PUBLIC = {
    "POST /v1/login",
    "POST /v1/login/code",
    "POST /v1/token/refresh",
    "GET /v1/agreement-texts/{text_id}",
    "POST /v1/receipts/verify",
    "POST /v1/users/register",
    "POST /v1/email/verify",
    "POST /v1/email/verify/resend",
    "POST /v1/password/forgot",
    "POST /v1/password/reset",
    "POST /v1/device/code",
    "POST /v1/device/token",
}
"""Calls under /v1 that nobody needs a credential for; a new one is put here on purpose."""
OTHER_BODIES = {("GET /readyz", "503")}
"""Refusals whose body is no problem: readiness says its faults in a shape of its own."""
REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')

each = pytest.mark.parametrize("name", OPERATIONS)


def refusals(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(status, response) of every documented answer that carries a problem."""
    for status, response in OPERATIONS[name]["responses"].items():
        if status >= "400" and (name, status) not in OTHER_BODIES:
            yield status, response


def test_the_document_is_openapi_3_1() -> None:
    """Generators and gateways can read it: checked against the OpenAPI Initiative's own schema."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    openapi.from_dict(DOCUMENT).validate()


def test_no_object_of_a_body_may_have_more_names_than_are_read() -> None:
    """Every object names its members or says how many it may have; the reader of bodies refuses more than `NAMES` before it looks."""
    bodies = "".join(json.dumps(call["requestBody"]) for call in OPERATIONS.values() if "requestBody" in call)
    met, left = set[str](), set(REFERENCE.findall(bodies))
    while left:
        met.add(name := left.pop())
        left |= set(REFERENCE.findall(json.dumps(DOCUMENT["components"]["schemas"][name]))) - met
    sizes = {f"{name}{place}": size for name in met for place, size in widths(DOCUMENT["components"]["schemas"][name])}
    assert {place: size for place, size in sizes.items() if size > MAX_NAMES} == {}
    assert sizes["PolicyIn/features"] == 100


def widths(shape: Any, place: str = "") -> Iterator[tuple[str, int]]:
    """How many names each object in a shape may have."""
    if isinstance(shape, list):
        for inner in shape:
            yield from widths(inner, place)
    elif isinstance(shape, dict):
        if shape.get("type") == "object":
            free = shape.get("additionalProperties", False) is not False or "patternProperties" in shape
            yield place, shape.get("maxProperties", 10**9) if free else len(shape.get("properties", {}))
        for name, inner in shape.items():
            yield from widths(inner, place if name in {"properties", "anyOf", "items"} else f"{place}/{name}")


def test_every_shape_is_a_json_schema() -> None:
    """OpenAPI 3.1 shapes are JSON Schema 2020-12."""
    for shape in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **shape})


def test_the_frameworks_own_refusal_is_nowhere() -> None:
    """FastAPI's 422 repeats the body; neither it nor a reference to it is left."""
    assert "ValidationError" not in json.dumps(DOCUMENT)


def test_every_reference_leads_somewhere() -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert names <= set(DOCUMENT["components"]["schemas"])


def test_every_call_has_a_name_of_its_own() -> None:
    """Generated clients name their functions by it."""
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(names) == len(set(names))


@each
def test_a_call_says_who_may_make_it(name: str) -> None:
    """A route without a caller dependency is open to everybody; under /v1 that is never by accident."""
    security = OPERATIONS[name].get("security")
    if name in PUBLIC or "/v1/" not in name:
        assert security is None
    else:
        assert security
        assert {scheme for wanted in security for scheme in wanted} <= set(DOCUMENT["components"]["securitySchemes"])


@each
def test_a_call_that_knows_callers_can_refuse_a_credential(name: str) -> None:
    """401 is documented wherever an Authorization header is looked at, with both of its codes."""
    if "security" in OPERATIONS[name]:
        text = CODE.findall(OPERATIONS[name]["responses"]["401"]["description"])
        assert {"unauthenticated", "token_invalid"} <= set(text)


@each
def test_every_refusal_is_a_problem_with_declared_codes_of_its_status(name: str) -> None:
    """No status without a code, no code that the program does not know, no code under another status than its own."""
    for status, response in refusals(name):
        assert list(response["content"]) == [PROBLEM_JSON], status
        codes = CODE.findall(response["description"])
        assert codes, status
        assert {code: STATUS[DECLARED[code].kind] for code in codes if code in DECLARED} == dict.fromkeys(codes, int(status))


@each
def test_a_success_with_a_body_says_its_shape(name: str) -> None:
    """An answer without a schema is a promise of nothing."""
    for status, response in OPERATIONS[name]["responses"].items():
        if status < "300" and status != "204":
            assert all(media["schema"] for media in response["content"].values()), status


def test_the_public_list_holds_only_calls_there_are() -> None:
    assert set(OPERATIONS) >= PUBLIC
    assert {name for name, _ in OTHER_BODIES} <= set(OPERATIONS)
