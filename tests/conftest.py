"""The kit of every test: a real server started once, a migrated database for each test, the app over it, builders."""

import gc
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from fastapi import FastAPI

from app.base.entropy import Entropy
from app.config.settings import Settings
from app.db.database import Database
from app.main import build_app
from app.observability import logs
from app.security.passwords import PasswordHasher
from app.security.sealing import LookupKey, Sealer
from app.security.signing import KeyShelf
from app.world import Keys, World
from tests import databases, postgres
from tests.clock import TurnedClock
from tests.drawn import SECRETS
from tests.given import Given
from tests.postbox import Postbox, open_postbox

Made = TypeVar("Made")
SOCKET = "TEST_PG_ADMIN_URL"
_server = pytest.StashKey[postgres.Server]()
LIMITS = {"LICENTIA_LOGIN_POSTS_PER_MINUTE": "1000", "LICENTIA_LOGIN_FAILURES_PER_IP": "1000"}
"""All tests come from one address; those of the limits themselves lower them again (authentication R48)."""


def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL once, in the controller; workers inherit its address. What collecting tests makes is no garbage."""
    gc.disable()
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.stash[_server] = server = postgres.start()
        os.environ[SOCKET] = server.url("postgres")  # noqa: TID251  the way an xdist worker inherits anything


def pytest_collection_finish() -> None:
    """What stands now stays: out of the collector's sight, or it walks through all of it again and again."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000)


def pytest_unconfigure(config: pytest.Config) -> None:
    if (server := config.stash.get(_server, None)) is not None:
        server.stop()


def pytest_report_header(config: pytest.Config) -> str:
    server = config.stash.get(_server, None)
    return f"postgres: {server.kind}, as {server.user}" if server else "postgres: in the controller"


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings.load({**SECRETS, **LIMITS, "LICENTIA_VAR": str(tmp_path_factory.mktemp("var")), "LICENTIA_DATABASE_POOL": "20"})


@pytest.fixture(scope="session")
def hasher(settings: Settings) -> PasswordHasher:
    """Below the floor that the settings allow: thousands of logins would otherwise be most of the run. Real servers keep it."""
    return PasswordHasher.of(settings.model_copy(update={"argon2_memory_kib": 256, "argon2_time": 1}))


@pytest.fixture(scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    await databases.migrate(databases.sqlite_url(path))
    return path


@pytest.fixture(scope="session")
async def new_postgres() -> AsyncIterator["NewPostgres"]:
    maker = NewPostgres(os.environ[SOCKET], [])  # noqa: TID251  see pytest_configure
    yield maker
    for name in maker.made:
        await databases.execute(maker.admin, f'DROP DATABASE "{name}" WITH (FORCE)')


@dataclass
class NewPostgres:
    """Makes databases on the run's server; they are dropped with the session."""

    admin: str
    made: list[str]
    template: str = ""

    async def empty(self, like: str = "template1") -> str:
        """The address of a new database; `like`: the name of one to copy."""
        name = f"test_{uuid.uuid4().hex[:12]}"  # noqa: TID251  a name, not a secret
        await databases.execute(self.admin, f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        self.made.append(name)
        return self.admin.replace("/postgres?", f"/{name}?")

    async def migrated(self) -> str:
        """Migrated once, then copied."""
        if not self.template:
            await databases.migrate(await self.empty())
            self.template = self.made[-1]
        return await self.empty(self.template)


@pytest.fixture(scope="session")
def sqlite_database(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> databases.Refilled:
    return databases.Refilled(sqlite_template, tmp_path_factory.mktemp("refilled"))


@pytest.fixture(scope="session")
async def postgres_database(new_postgres: NewPostgres) -> AsyncIterator[tuple[Database, databases.Emptier]]:
    database = Database.open(await new_postgres.migrated(), 20)
    async with databases.Emptier(database.url) as emptier:
        yield database, emptier
    await database.close()


@pytest.fixture(params=databases.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which database: every test that touches one runs on both."""
    return str(request.param)


@pytest.fixture
async def database(
    kind: str, sqlite_database: databases.Refilled, postgres_database: tuple[Database, databases.Emptier]
) -> AsyncIterator[Database]:
    if kind == "sqlite":
        yield sqlite_database.fresh()
        await sqlite_database.gone()
    else:
        kept, emptier = postgres_database
        yield kept
        await emptier.empty()


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def postbox() -> AsyncIterator[Postbox]:
    """A mail server of the test's own; a world mails to it by `postbox.settings`."""
    async with open_postbox() as box:
        yield box


@pytest.fixture
def world(database: Database, clock: TurnedClock, settings: Settings, hasher: PasswordHasher) -> World:
    entropy = Entropy()
    keys = Keys(Sealer(settings.ring(), entropy), LookupKey(settings.lookup()), KeyShelf())
    return World(database, clock, entropy, settings, keys, hasher)


@pytest.fixture(scope="session")
def shared_app(settings: Settings, hasher: PasswordHasher) -> FastAPI:
    """Built once; `app` gives it each test's world."""
    logs.configure(settings)
    return build_app(World.of(settings))


@pytest.fixture
def app(shared_app: FastAPI, world: World) -> FastAPI:
    shared_app.state.world = world
    return shared_app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://licentia.test", trust_env=False) as client:
        yield client


@pytest.fixture
async def given(client: httpx.AsyncClient, world: World, clock: TurnedClock) -> Given:
    return await Given.with_root_key(client, world, clock)


@dataclass
class Begun:
    """What many tests begin with is made by the first of them, over HTTP as ever; the others find it put back, row by row."""

    given: Given
    store: databases.Refilled | databases.Emptier
    before: dict[str, Any]

    async def once(self, name: str, make: Callable[[Given], Awaitable[Made]]) -> Made:
        """What `make` gives, in a world that nothing but it has touched; with the clock and the root key that it had."""
        if name in self.before:
            await self.store.put_back(name)
        else:
            made = await make(self.given)
            await self.store.keep(name)
            self.before[name] = deepcopy((made, self.given.root, self.given.clock.moment))
        kept: Made
        kept, self.given.root, self.given.clock.moment = deepcopy(self.before[name])
        return kept


@pytest.fixture(scope="session")
def made_before() -> dict[str, dict[str, Any]]:
    """By kind of database and name, what `Begun` has made."""
    return {kind: {} for kind in databases.KINDS}


@pytest.fixture
def begun(
    kind: str,
    given: Given,
    sqlite_database: databases.Refilled,
    postgres_database: tuple[Database, databases.Emptier],
    made_before: dict[str, dict[str, Any]],
) -> Begun:
    return Begun(given, sqlite_database if kind == "sqlite" else postgres_database[1], made_before[kind])


@pytest.fixture
async def shared(kind: str, sqlite_template: Path, new_postgres: NewPostgres, tmp_path: Path) -> str:
    """The address of a migrated database that several processes may open."""
    return databases.copied(sqlite_template, tmp_path / "shared.db") if kind == "sqlite" else await new_postgres.migrated()


@pytest.fixture
async def beside(shared: str) -> AsyncIterator[World]:
    """The world of one process more on that database, which serves nobody: for builders, and for looks into the tables."""
    made = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": shared}))
    yield made
    await made.db.close()


@pytest.fixture
def relying_party(given: Given, app: FastAPI) -> None:
    """Passkeys are taken; `pytestmark = pytest.mark.usefixtures("relying_party")` for a whole file."""
    given.taking_passkeys(app)
