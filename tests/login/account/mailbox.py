"""Registration, verification and login over HTTP, as tests of mailed tokens need them."""

from typing import Any

import httpx

from tests.given import PASSWORD, Given
from tests.postbox import Received

NEW = "new password, long enough"


async def send(given: Given, path: str, body: dict[str, Any], auth: dict[str, str] | None = None) -> httpx.Response:
    return await given.client.post(path, json=body, headers=auth or {})


async def register(given: Given, email: str = "ola@example.com", **more: Any) -> None:
    response = await send(given, "/v1/users/register", {"email": email, "password": PASSWORD, **more})
    assert (response.status_code, response.json()) == (202, {"status": "accepted"})


async def verify(given: Given, mail: Received) -> dict[str, Any]:
    return given.expect(await send(given, "/v1/email/verify", {"token": mail.token}))


async def can_log_in(given: Given, email: str, password: str = PASSWORD) -> bool:
    return (await send(given, "/v1/login", {"identifier": email, "password": password})).status_code == 200


def visible_parts(response: httpx.Response) -> tuple[Any, ...]:
    """Everything in a response that could reveal something."""
    return response.status_code, tuple(sorted(response.headers)), response.text.replace(response.headers["x-request-id"], "")
