"""Every refusal is an RFC 9457 problem with a declared code, and never repeats the input."""

import json
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from app.base.clock import Clock
from app.base.problems import DECLARED, MAX_ERRORS
from app.web.pipeline.bodies import MAX_NAMES
from tests.assertions import problem
from tests.given import Given

MARKER = "hunter2-marker"


async def test_an_unknown_path_is_404(client: httpx.AsyncClient) -> None:
    problem(await client.get("/v1/nothing"), 404, "route_not_found")


async def test_an_unknown_method_is_405_with_the_allowed_ones(client: httpx.AsyncClient) -> None:
    answer = await client.put("/healthz")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


async def test_a_body_above_the_limit_is_413(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/login", content=b"[" + b" " * (1024 * 1024 + 1) + b"]")
    problem(answer, 413, "body_too_large")


@pytest.mark.parametrize("headers", [{"content-encoding": "gzip"}, {"content-type": "application/json; charset=utf-16"}])
async def test_another_encoding_than_utf_8_is_415(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    problem(await client.post("/v1/login", content=b"{}", headers=headers), 415, "unsupported_encoding")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b"[]",
        b"1",
        b'"text"',
        b"null",
        b"[" * 100_000,
        b"1" * 5000,
        b'{"a":NaN}',
        b'{"identifier":1e999}',
    ],
)
async def test_a_body_that_is_not_a_json_object_is_422(client: httpx.AsyncClient, body: bytes) -> None:
    problem(await client.post("/v1/login", content=body), 422, "malformed")


@pytest.mark.parametrize("label", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "nonsense"])
async def test_a_body_is_read_as_json_with_any_content_type(client: httpx.AsyncClient, label: str) -> None:
    answer = await client.post("/v1/login", content=b'{"identifier":"a","password":"b"}', headers={"content-type": label})
    problem(answer, 401, "invalid_credentials")


async def test_every_error_is_listed_with_its_pointer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/activations", json={"license_key": 5, "device": {"fingerprint": ""}, "typo": 1})
    details = problem(answer, 422, "malformed")
    assert {(fault["pointer"], fault["code"]) for fault in details["errors"]} == {
        ("/license_key", "string_type"),
        ("/device/fingerprint", "string_too_short"),
        ("/typo", "extra_forbidden"),
    }


async def test_at_most_twenty_errors_are_listed(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/login", json={"identifier": "a", "password": "b", **{f"typo_{n}": n for n in range(20)}})
    details = problem(answer, 422, "malformed")
    assert [fault["pointer"] for fault in details["errors"]] == [f"/typo_{n}" for n in range(MAX_ERRORS)]
    assert "first" not in details["detail"]
    answer = await client.post("/v1/login", json={"identifier": "a", "password": "b", **{f"typo_{n}": n for n in range(21)}})
    cut = problem(answer, 422, "malformed")
    assert cut["errors"] == details["errors"]
    assert "first 20" in cut["detail"]
    answer = await client.get("/v1/products?" + "&".join(f"typo_{n}=1" for n in range(1000)))
    assert len(problem(answer, 422, "malformed")["errors"]) == MAX_ERRORS


@pytest.mark.parametrize("path", ["/v1/login", "/v1/password/reset"])
@pytest.mark.parametrize("wrap", ["%s", '{"identifier":%s,"password":"b"}', '{"typo":[1,[%s]]}'])
async def test_an_object_with_too_many_names_is_refused_early(client: httpx.AsyncClient, path: str, wrap: str) -> None:
    """On both kinds of routes. A megabyte of names must not block the process for a second."""

    async def send(names: int) -> dict[str, Any]:
        body = wrap % json.dumps({f"n{n}": 1 for n in range(names)})
        return problem(await client.post(path, content=body), 422, "malformed")

    details = await send(MAX_NAMES + 1)
    assert [(fault["pointer"], fault["code"]) for fault in details["errors"]] == [("", "too_many_names")]
    assert str(MAX_NAMES) in details["errors"][0]["detail"]
    assert "too_many_names" not in str(await send(MAX_NAMES))
    assert (await send(70_000))["errors"] == details["errors"]


@pytest.mark.parametrize("path", ["/v1/login", "/v1/password/reset"])
async def test_a_duplicate_name_is_refused(client: httpx.AsyncClient, path: str) -> None:
    details = problem(await client.post(path, content=b'{"token":"a","token":"b"}'), 422, "malformed")
    assert [fault["code"] for fault in details["errors"]] == ["duplicate_name"]


async def test_a_body_with_very_many_errors_is_refused_shortly(given: Given) -> None:
    """The longest list, of objects with as many names as fit into a body."""
    path = f"/v1/agreements/{given.world.entropy.identifier()}/imports"
    body = {"data": [{f"n{n}": 1 for n in range(90)} for _ in range(1000)]}
    details = problem(await given.client.post(path, json=body, headers=given.root), 422, "malformed")
    assert [fault["code"] for fault in details["errors"]] == ["too_many_names"]
    few = {"data": [{f"n{n}": 1 for n in range(10)} for _ in range(1000)]}
    details = problem(await given.client.post(path, json=few, headers=given.root), 422, "malformed")
    assert len(details["errors"]) == MAX_ERRORS


async def test_a_long_list_of_wrong_entries_is_one_error(client: httpx.AsyncClient) -> None:
    body = {"license_key": "x", "product": "y", "features": [1] * 80_000}
    details = problem(await client.post("/v1/licenses/validate", json=body), 422, "malformed")
    assert [(fault["pointer"], fault["code"]) for fault in details["errors"]] == [("/features", "too_long")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/login", {"identifier": MARKER, "password": [MARKER]}),
        ("/v1/login", {"identifier": MARKER * 100, "password": MARKER}),
        ("/v1/login", {"identifier": MARKER, "password": MARKER + "\ud800"}),
        ("/v1/login", {MARKER + " with a space": MARKER}),
        ("/v1/activations", {"license_key": MARKER, "activation_code": MARKER}),
        ("/v1/licenses/validate", {"license_key": MARKER, "product": MARKER + "!"}),
    ],
)
async def test_input_is_never_repeated(client: httpx.AsyncClient, path: str, body: dict[str, object]) -> None:
    """Authentication R68: FastAPI's own 422 repeats the whole body, passwords included."""
    answer = await client.post(path, content=json.dumps(body).encode())
    assert answer.status_code == 422
    assert MARKER not in answer.text


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "a\nb", "   ", "\u2028"])
async def test_text_that_cannot_be_stored_is_refused(given: Given, text: str) -> None:
    """Authentication R69; PostgreSQL stores no NUL, nothing encodes a lone surrogate."""
    body = json.dumps({"code": "x", "name": text}).encode()
    problem(await given.client.post("/v1/products", content=body, headers=given.root), 422, "malformed")


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
async def test_metadata_that_cannot_be_stored_is_refused(given: Given, text: str) -> None:
    body = json.dumps({"code": "x", "name": "x", "metadata": {"note": text}}).encode()
    problem(await given.client.post("/v1/products", content=body, headers=given.root), 422, "malformed")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/products/%00",
        "/v1/licenses/not-a-uuid",
        "/v1/products?limit=0",
        "/v1/products?limit=x",
        "/v1/products?cursor=x",
        "/v1/products?lmit=5",
    ],
)
async def test_invalid_paths_and_queries_are_422(given: Given, path: str) -> None:
    problem(await given.client.get(path, headers=given.root), 422, "malformed")


async def test_an_unexpected_exception_is_a_500_without_details(given: Given, app: FastAPI) -> None:
    app.state.world = replace(given.world, clock=cast("Clock", None))
    details = problem(await given.client.post("/v1/licenses/validate", json={"license_key": "x", "product": "y"}), 500, "internal_error")
    assert "NoneType" not in str(details)


@pytest.mark.parametrize("sent", ["a" * 129, "spaced id", "läufer"])
async def test_an_unsafe_request_id_is_replaced(client: httpx.AsyncClient, sent: str) -> None:
    answer = await client.get("/healthz", headers=[(b"X-Request-Id", sent.encode("latin-1"))])
    assert answer.headers["x-request-id"] != sent


async def test_a_safe_request_id_is_used(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nothing", headers={"X-Request-Id": "ticket-4711"})
    assert answer.headers["x-request-id"] == "ticket-4711"
    assert answer.json()["request_id"] == "ticket-4711"


async def test_every_code_has_a_page(client: httpx.AsyncClient) -> None:
    for code in DECLARED:
        assert (await client.get(f"/problems/{code}")).json()["code"] == code
    problem(await client.get("/problems/nonsense"), 404, "code_not_found")


async def test_a_success_is_one_line_of_json_that_is_not_cached(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz")
    assert answer.text == '{"status":"ok"}\n'
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-32-be"])
async def test_json_in_another_encoding_is_refused(client: httpx.AsyncClient, codec: str) -> None:
    problem(await client.post("/v1/login", content='{"identifier":"a","password":"b"}'.encode(codec)), 422, "malformed")


async def test_a_secret_sent_as_a_field_name_is_not_repeated(client: httpx.AsyncClient) -> None:
    details = problem(await client.post("/v1/login", json={"STUDIO-AAAAA-BBBBB": 1, "identifier": "a", "password": "b"}), 422, "malformed")
    assert details["errors"][0]["pointer"] == "/?"
