"""The limits of the outermost middleware, and the number of hash slots for a memory limit."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.config import resources
from app.web.pipeline.middleware import BODIES, EdgeMiddleware
from tests.assertions import DEADLINE, problem, wait_until

MOST = 16


@pytest.fixture
async def narrow(app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> tuple[httpx.AsyncClient, EdgeMiddleware]:
    """The application, with few concurrent requests little memory for bodies, and a long deadline for them."""
    await client.get("/healthz")  # the first request builds the layers
    edge: Any = app.middleware_stack
    while not isinstance(edge, EdgeMiddleware):
        edge = edge.app
    for name, value in {"max_requests": MOST, "body_timeout": DEADLINE, "max_body": 65_536, "body_bytes": 0}.items():
        monkeypatch.setattr(edge, name, value)
    return client, edge


async def send_incomplete() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


async def send_spaces(size: int, finish: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield so many bytes. The body ends when the event is set."""
    for _ in range(size // 4096):
        yield b" " * 4096
    await finish.wait()


async def test_a_body_that_does_not_arrive_gets_408_and_the_connection_is_closed(narrow: tuple[httpx.AsyncClient, EdgeMiddleware]) -> None:
    client, edge = narrow
    edge.body_timeout = 0.1
    response = await client.post("/v1/licenses/validate", content=send_incomplete())
    problem(response, 408, "body_too_slow")
    assert response.headers["connection"] == "close"
    assert (edge.inside, edge.body_bytes) == (0, 0)


async def test_too_many_requests_get_503_and_probes_are_still_answered(narrow: tuple[httpx.AsyncClient, EdgeMiddleware]) -> None:
    client, edge = narrow
    finish = asyncio.Event()
    bodies = (send_spaces(4096, finish) for _ in range(MOST))
    waiting = [asyncio.create_task(client.post("/v1/licenses/validate", content=body)) for body in bodies]
    await wait_until(lambda: edge.inside == MOST)
    surplus = await client.post("/v1/licenses/validate", json={})
    problem(surplus, 503, "busy")
    assert surplus.headers["retry-after"] == "1"
    assert (await client.get("/healthz")).status_code == 200
    finish.set()
    assert {response.status_code for response in await asyncio.gather(*waiting)} == {422}
    problem(await client.post("/v1/licenses/validate", json={}), 422, "malformed")


async def test_all_bodies_together_have_a_limit(narrow: tuple[httpx.AsyncClient, EdgeMiddleware]) -> None:
    client, edge = narrow
    edge.body_bytes = (BODIES - 1) * edge.max_body
    finish = asyncio.Event()
    bodies = (send_spaces(40_960, finish) for _ in range(3))
    posts = [asyncio.create_task(client.post("/v1/licenses/validate", content=body)) for body in bodies]
    await wait_until(lambda: sum(post.done() for post in posts) == 2)
    finish.set()
    responses = await asyncio.gather(*posts)
    assert sorted(response.status_code for response in responses) == [422, 503, 503]
    assert edge.body_bytes == (BODIES - 1) * edge.max_body


def test_hashes_may_use_a_quarter_of_the_memory_of_the_container(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("536870912\n")
    assert resources.read_memory_limit((str(tmp_path / "nothing"), str(limit))) == 512 * 1024 * 1024
    assert resources.count_hash_slots(19_456, 64, 512 * 1024 * 1024) == 6
    assert resources.count_hash_slots(19_456, 4, 512 * 1024 * 1024) == 4
    assert resources.count_hash_slots(131_072, 64, 512 * 1024 * 1024) == 2
    assert resources.count_hash_slots(19_456, 64, None) == 64
    for unlimited in ("max", str(0x7FFFFFFFFFFFF000)):
        limit.write_text(unlimited)
        assert resources.read_memory_limit((str(limit),)) is None
