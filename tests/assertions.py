"""Assertions that many tests share."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import httpx

DEADLINE = 60.0
"""Seconds that a test waits for a condition. Generous, because it only bounds a failure: a busy machine fails no test."""


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that the response is a problem of this status and code, with the headers of every problem. Return its body."""
    body: dict[str, Any] = response.json()
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == f"/problems/{code}"
    assert body["request_id"] == response.headers["x-request-id"]
    assert response.text.endswith("}\n")
    assert response.headers["cache-control"] == "no-store"
    return body


async def wait_until(condition: Callable[[], Any], seconds: float = DEADLINE) -> None:
    """Poll the condition until it, or the result that it awaits, is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await _evaluate(condition):  # noqa: ASYNC110  the condition is a row or a server, which sets no event
            await asyncio.sleep(0.02)


async def _evaluate(condition: Callable[[], Any]) -> Any:
    result = condition()
    return await result if inspect.isawaitable(result) else result
