"""Real servers over loopback on one database, and what tests against them need."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import httpx

from app.api_keys import service as api_keys
from app.base.clock import Clock
from app.world import World
from tests.clock import TurnedClock
from tests.concurrency.seat_races import Clients
from tests.conftest import LIMITS
from tests.given import Given
from tests.random_keys import SECRETS
from tests.servers import Running


class RealClock(TurnedClock):
    """For builders that look at the clock while the server has a real one."""

    def now(self) -> datetime:
        return Clock().now()


def server(home: Path, url: str, **more: str) -> Running:
    secrets = {"LICENTIA_PUBLIC_URL": "http://licentia.test", "LICENTIA_ENV": "production"}
    return Running(home, **SECRETS, **LIMITS, **secrets, **more, LICENTIA_DATABASE_URL=url)


async def root_of(world: World) -> dict[str, str]:
    _, key = await api_keys.create_key(world, None, "root", ["*"])
    return {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def two(home: Path, url: str, world: World, **more: str) -> AsyncIterator[tuple[Given, Clients]]:
    """Two servers on the database, a client of each, and builders over the first. `more` are settings of both."""
    with server(home, url, **more) as one, server(home, url, **more) as other:
        async with httpx.AsyncClient(base_url=one.base, timeout=30) as first, httpx.AsyncClient(base_url=other.base, timeout=30) as second:
            yield Given(first, world, RealClock(), await root_of(world)), (first, second)
