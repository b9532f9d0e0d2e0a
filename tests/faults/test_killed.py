"""kill -9 in the middle of activations, redeemed codes, usage, accepts and refreshes: two servers on PostgreSQL, one on SQLite."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from app.world import World
from tests.assertions import DEADLINE
from tests.concurrency.workers import RealClock, create_root_key, start_server
from tests.faults.bursts import Burst, Scene, Size
from tests.given import Given


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
async def test_confirmed_writes_survive_a_kill(shared_url: str, second_world: World, kind: str, tmp_path: Path) -> None:
    """One server starts again and serves the retries."""
    servers = [start_server(tmp_path, shared_url) for _ in range(1 if kind == "sqlite" else 2)]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(asyncio.to_thread(stack.enter_context, each) for each in servers))
        clients = [await stack.enter_async_context(httpx.AsyncClient(base_url=each.base, timeout=DEADLINE)) for each in servers]
        given = Given(clients[0], second_world, RealClock(), await create_root_key(second_world))
        burst = Burst(clients, await Scene.create(given, Size()))

        async def kill() -> None:
            for each in servers:
                each.kill()
            await asyncio.to_thread(stack.enter_context, servers[0])

        await burst.play(kill, after=25)
        assert burst.outcomes["no response"] > 0
        await burst.check(given)
    if kind == "sqlite":
        connection = sqlite3.connect(shared_url.partition(":///")[2])
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
