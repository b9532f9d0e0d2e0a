"""kill -9 in the middle of activations, redeemed codes, usage, accepts and refreshes; both databases, two servers."""

import asyncio
import sqlite3
from contextlib import ExitStack
from pathlib import Path

import httpx

from app.world import World
from tests.concurrency.conftest import beside, shared
from tests.concurrency.workers import RealClock, root_of, server
from tests.faults.bursts import Burst, Scene, Size
from tests.given import Given

__all__ = ["beside", "shared"]


async def test_what_was_answered_outlives_a_kill(shared: str, beside: World, kind: str, tmp_path: Path) -> None:
    servers = [server(tmp_path, shared), server(tmp_path, shared)]
    with ExitStack() as running:
        await asyncio.gather(*(asyncio.to_thread(running.enter_context, each) for each in servers))
        async with httpx.AsyncClient(base_url=servers[0].base) as first, httpx.AsyncClient(base_url=servers[1].base) as second:
            for client in (first, second):
                client.timeout = httpx.Timeout(30)
            given = Given(first, beside, RealClock(), await root_of(beside))
            burst = Burst((first, second), await Scene.made(given, Size()))

            async def kill() -> None:
                for each in servers:
                    each.kill()
                await asyncio.to_thread(running.enter_context, servers[0])

            await burst.play(kill, after=25)
            assert burst.told["no answer"] > 0
            await burst.check(given)
    if kind == "sqlite":
        checked = sqlite3.connect(shared.partition(":///")[2])
        assert checked.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        checked.close()
