"""The shutdown of a server. Kills are in tests/faults."""

import asyncio
from pathlib import Path

import httpx

from tests.random_keys import SECRETS
from tests.servers import Running


async def test_a_server_finishes_requests_before_it_stops(shared_url: str, tmp_path: Path) -> None:
    """A running request is finished, the listener closes, and the process ends by the signal."""
    running = Running(
        tmp_path,
        **SECRETS,
        LICENTIA_PUBLIC_URL="http://x.test",
        LICENTIA_ENV="production",
        LICENTIA_DATABASE_URL=shared_url,
        LICENTIA_SHUTDOWN_DELAY="0.5",
    )
    with running:
        async with httpx.AsyncClient(base_url=running.base) as client:
            running.process.terminate()
            await asyncio.sleep(0.2)
            ready, alive = await client.get("/readyz"), await client.get("/healthz")
        assert (ready.status_code, ready.json()["faults"], alive.status_code) == (503, ["shutting down"], 200)
        assert running.process.wait(10) in {0, -15, 143}
