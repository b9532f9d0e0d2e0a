"""The shutdown of a server. Kills are in tests/faults."""

from pathlib import Path

import httpx

from tests.assertions import DEADLINE, wait_until
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
        LICENTIA_SHUTDOWN_DELAY="3",
    )
    with running:
        async with httpx.AsyncClient(base_url=running.base) as client:
            running.process.terminate()

            async def is_stopping() -> bool:
                ready = await client.get("/readyz")
                return ready.status_code == 503 and ready.json()["faults"] == ["shutting down"]

            await wait_until(is_stopping)
            assert (await client.get("/healthz")).status_code == 200
        assert running.process.wait(DEADLINE) in {0, -15, 143}
