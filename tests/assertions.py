"""Assertions that many tests share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == f"/problems/{code}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert answer.text.endswith("}\n")
    assert answer.headers["cache-control"] == "no-store"
    return body


async def wait_until(condition: Callable[[], Awaitable[Any]], seconds: float = 10) -> None:
    """Poll the condition until it is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  the condition is a row, which sets no event
            await asyncio.sleep(0.02)
