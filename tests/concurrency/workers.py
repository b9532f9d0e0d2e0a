"""Real servers on one database, and helpers for tests against them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import httpx

from app.api_keys import service as api_keys
from app.base.clock import Clock
from app.world import World
from tests.assertions import DEADLINE
from tests.clock import TurnedClock
from tests.concurrency.seat_races import Clients
from tests.conftest import LIMITS
from tests.given import Given
from tests.random_keys import SECRETS
from tests.servers import Running


class RealClock(TurnedClock):
    """The real clock, for builders of test data while the server uses the real time."""

    def now(self) -> datetime:
        return Clock().now()


def start_server(home: Path, url: str, **more: str) -> Running:
    secrets = {"LICENTIA_PUBLIC_URL": "http://licentia.test", "LICENTIA_ENV": "production"}
    return Running(home, **SECRETS, **LIMITS, **secrets, **more, LICENTIA_DATABASE_URL=url)


async def create_root_key(world: World) -> dict[str, str]:
    _, key = await api_keys.create_key(world, None, "root", ["*"])
    return {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def run_two_servers(home: Path, url: str, world: World, **more: str) -> AsyncIterator[tuple[Given, Clients]]:
    """Run two servers on the database; yield test data builders on the first, and a client of each. `more` are settings of both."""
    with start_server(home, url, **more) as one, start_server(home, url, **more) as other:
        async with (
            httpx.AsyncClient(base_url=one.base, timeout=DEADLINE) as first,
            httpx.AsyncClient(base_url=other.base, timeout=DEADLINE) as second,
        ):
            yield Given(first, world, RealClock(), await create_root_key(world)), (first, second)
