"""The limits of the outermost middleware, and how many hashes fit into the memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.config import resources
from app.web.pipeline.middleware import BODIES, EdgeMiddleware
from tests.assertions import problem

MOST = 16


@pytest.fixture
async def narrow(app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> tuple[httpx.AsyncClient, EdgeMiddleware]:
    """The application, with few concurrent requests and a tenth of a second for a body."""
    await client.get("/healthz")  # the first request builds the layers
    door: Any = app.middleware_stack
    while not isinstance(door, EdgeMiddleware):
        door = door.app
    for name, value in {"max_requests": MOST, "body_timeout": 0.1, "max_body": 65_536, "body_bytes": 0}.items():
        monkeypatch.setattr(door, name, value)
    return client, door


async def never() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(5)


async def send_spaces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 4096):
        yield b" " * 4096
    await asyncio.sleep(0.03)


async def test_a_body_that_does_not_come_is_given_up_and_the_connection_closed(narrow: tuple[httpx.AsyncClient, EdgeMiddleware]) -> None:
    client, door = narrow
    answer = await client.post("/v1/licenses/validate", content=never())
    problem(answer, 408, "body_too_slow")
    assert answer.headers["connection"] == "close"
    assert (door.inside, door.body_bytes) == (0, 0)


async def test_too_many_requests_get_503_and_probes_are_still_answered(narrow: tuple[httpx.AsyncClient, EdgeMiddleware]) -> None:
    client, _ = narrow
    waiting = [asyncio.create_task(client.post("/v1/licenses/validate", content=never())) for _ in range(MOST)]
    await asyncio.sleep(0.03)
    surplus = await client.post("/v1/licenses/validate", json={})
    problem(surplus, 503, "busy")
    assert surplus.headers["retry-after"] == "1"
    assert (await client.get("/healthz")).status_code == 200
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {408}
    problem(await client.post("/v1/licenses/validate", json={}), 422, "malformed")


async def test_bodies_have_a_bound_together(narrow: tuple[httpx.AsyncClient, EdgeMiddleware]) -> None:
    client, door = narrow
    door.body_bytes = (BODIES - 1) * door.max_body
    answers = await asyncio.gather(*(client.post("/v1/licenses/validate", content=send_spaces(40_960)) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [422, 503, 503]
    assert door.body_bytes == (BODIES - 1) * door.max_body


def test_hashes_have_a_quarter_of_a_containers_memory(tmp_path: Path) -> None:
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
