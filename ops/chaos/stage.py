"""The processes of a scenario: its databases, real servers, a client and builders."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import httpx

from app.config.settings import Settings
from app.world import World
from tests import databases, postgres
from tests.concurrency.workers import RealClock, create_root_key, start_server
from tests.faults.peaks import Probe, probe
from tests.given import Given
from tests.random_keys import SECRETS
from tests.servers import Running

LIMITS = httpx.Limits(max_connections=None, keepalive_expiry=2)


@dataclass(frozen=True)
class Stage:
    """`servers` are running when a scenario begins; `clients` reach them one each."""

    home: Path
    url: str
    given: Given
    servers: list[Running]
    clients: list[httpx.AsyncClient]
    stack: AsyncExitStack

    async def start(self, running: Running) -> None:
        await asyncio.to_thread(self.stack.enter_context, running)


def load_factor() -> float:
    """Return the length of the run queue per CPU, at least 1: bounds on measured times are multiplied by it."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        yield Path(name)


@contextmanager
def own_postgres() -> Iterator[postgres.Server]:
    """A server whose committed data survives a crash."""
    database = postgres.start(synchronous_commit="on")
    try:
        yield database
    finally:
        database.stop()


async def on_postgres(database: postgres.Server) -> str:
    """The address of a fresh, migrated database."""
    await databases.execute(database.url("postgres"), "DROP DATABASE IF EXISTS chaos WITH (FORCE)")
    await databases.execute(database.url("postgres"), "CREATE DATABASE chaos")
    await databases.migrate(database.url("chaos"))
    return database.url("chaos")


async def on_sqlite(home: Path) -> str:
    url = databases.sqlite_url(home / "chaos.db")
    await databases.migrate(url)
    return url


@asynccontextmanager
async def stage(
    home: Path, url: str, workers: int, before: Sequence[str] = (), program: Sequence[str] = ("app",), **settings: str
) -> AsyncIterator[Stage]:
    """So many servers on the database, with what they start with, but for `settings`; `before` goes before their command line, in which
    `program` is the module that is run, with its first arguments."""
    world = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": url}))
    try:
        async with AsyncExitStack() as stack:
            servers = [start_server(home, url, **settings) for _ in range(workers)]
            for each in servers:
                place = each.command.index("app")
                each.command = [*before, *each.command[:place], *program, *each.command[place + 1 :]]
            await asyncio.gather(*(asyncio.to_thread(stack.enter_context, each) for each in servers))
            clients = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=each.base, timeout=60, limits=LIMITS)) for each in servers
            ]
            given = Given(clients[0], world, RealClock(), await create_root_key(world))
            yield Stage(home, url, given, servers, clients, stack)
    finally:
        await world.db.close()


@dataclass
class Looks:
    """Requests `/healthz` (or another path) ten times a second from a separate process, so that only the server is measured."""

    base: str
    path: str = "/healthz"
    seen: list[Probe] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.apart = ProcessPoolExecutor(1, get_context("spawn"))
        self.task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await asyncio.to_thread(self.apart.shutdown)

    async def _watch(self) -> None:
        while True:
            self.seen.append(await asyncio.get_running_loop().run_in_executor(self.apart, probe, self.base, self.path))
            await asyncio.sleep(0.1)

    @property
    def slowest(self) -> float:
        return max((look.seconds for look in self.seen), default=0)
