"""Assertions that many tests share."""

from typing import Any

import httpx


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["code"] == code
    assert told["status"] == status
    assert told["type"] == f"/problems/{code}"
    assert told["request_id"] == answer.headers["x-request-id"]
    assert answer.text.endswith("}\n")
    assert answer.headers["cache-control"] == "no-store"
    return told
