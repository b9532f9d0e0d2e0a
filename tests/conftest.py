"""Fixtures of every test: one PostgreSQL server for the run, a migrated database for each test, the application over it, and builders."""

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
from app.security import passwords
from app.security.passwords import PasswordHasher
from app.security.sealing import LookupKey, Sealer
from app.security.signing import SignerCache
from app.world import Keys, World
from tests import databases, postgres
from tests.clock import TurnedClock
from tests.given import Given
from tests.postbox import Postbox, open_postbox
from tests.random_keys import SECRETS

Result = TypeVar("Result")
ADMIN_URL_VARIABLE = "TEST_PG_ADMIN_URL"
_server = pytest.StashKey[postgres.Server]()
LIMITS = {"LICENTIA_LOGIN_POSTS_PER_MINUTE": "1000", "LICENTIA_LOGIN_FAILURES_PER_IP": "1000"}
"""All tests call from one address. Tests of these limits lower them again (authentication R48)."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests marked slow, and every case of the contract test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests to `make test-all`, unless a file or test is named on the command line."""
    if config.getoption("all") or any(Path(name.partition("::")[0]).suffix for name in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL once, in the controller; workers inherit its address. Collecting tests creates no garbage: no collection now."""
    gc.disable()
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.stash[_server] = server = postgres.start()
        os.environ[ADMIN_URL_VARIABLE] = server.url("postgres")  # noqa: TID251  xdist workers inherit the environment


def pytest_collection_finish() -> None:
    """Freeze all objects of the imports: they live until the end, and each full collection would visit them again."""
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
    """A cheaper hasher than the settings allow, because of thousands of logins. Real servers in tests use the minimum."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "CODE_MEMORY_KIB", 256)  # of recovery codes and mailed codes
        return PasswordHasher.of(settings.model_copy(update={"argon2_memory_kib": 256, "argon2_time": 1}))


@pytest.fixture(scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    await databases.migrate(databases.sqlite_url(path))
    return path


@pytest.fixture(scope="session")
async def new_postgres() -> AsyncIterator["NewPostgres"]:
    maker = NewPostgres(os.environ[ADMIN_URL_VARIABLE], [])  # noqa: TID251  see pytest_configure
    yield maker
    for name in maker.names:
        await databases.execute(maker.admin, f'DROP DATABASE "{name}" WITH (FORCE)')


@dataclass
class NewPostgres:
    """Creates databases on the run's server. They are dropped at the end of the session."""

    admin: str
    names: list[str]
    template: str = ""

    async def empty(self, like: str = "template1") -> str:
        """Create a database as a copy of `like` and return its address."""
        name = f"test_{uuid.uuid4().hex[:12]}"  # noqa: TID251  a name, not a secret
        await databases.execute(self.admin, f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        self.names.append(name)
        return self.admin.replace("/postgres?", f"/{name}?")

    async def migrated(self) -> str:
        """Return the address of a migrated database: migrated once, then copied."""
        if not self.template:
            await databases.migrate(await self.empty())
            self.template = self.names[-1]
        return await self.empty(self.template)


@pytest.fixture(scope="session")
def sqlite_database(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> databases.SqliteStore:
    return databases.SqliteStore(sqlite_template, tmp_path_factory.mktemp("refilled"))


@pytest.fixture(scope="session")
async def postgres_database(new_postgres: NewPostgres) -> AsyncIterator[tuple[Database, databases.PostgresStore]]:
    database = Database.open(await new_postgres.migrated(), 20)
    async with databases.PostgresStore(database.url) as store:
        yield database, store
    await database.close()


@pytest.fixture(params=databases.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database. Every test that uses a database runs on both kinds."""
    return str(request.param)


@pytest.fixture
async def database(
    kind: str, sqlite_database: databases.SqliteStore, postgres_database: tuple[Database, databases.PostgresStore]
) -> AsyncIterator[Database]:
    if kind == "sqlite":
        yield sqlite_database.reset()
        await sqlite_database.discard()
    else:
        opened, store = postgres_database
        yield opened
        await store.empty()


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def postbox() -> AsyncIterator[Postbox]:
    """A mail server for the test. A world sends to it with `postbox.settings`."""
    async with open_postbox() as box:
        yield box


@pytest.fixture
def world(database: Database, clock: TurnedClock, settings: Settings, hasher: PasswordHasher) -> World:
    entropy = Entropy()
    keys = Keys(Sealer(settings.encryption_ring(), entropy), LookupKey(settings.lookup_key_bytes()), SignerCache())
    return World(database, clock, entropy, settings, keys, hasher)


@pytest.fixture(scope="session")
def shared_app(settings: Settings, hasher: PasswordHasher) -> FastAPI:
    """The application, built once. The fixture `app` sets the world of each test."""
    logs.configure_logging(settings)
    return build_app(World.of(settings))


@pytest.fixture
def app(shared_app: FastAPI, world: World) -> FastAPI:
    shared_app.state.world = world
    return shared_app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://licentia.test", trust_env=False) as client:
        yield client


@dataclass
class PreparedWorld:
    """The starting rows of many tests. The first test builds them over HTTP; later tests restore them from a copy, row by row."""

    given: Given
    store: databases.SqliteStore | databases.PostgresStore
    states: dict[str, Any]

    async def restore(self, name: str, build: Callable[[Given], Awaitable[Result]]) -> Result:
        """Return what `build` returns, in a world that only `build` has changed, with its clock and its root key."""
        if name in self.states:
            await self.store.restore(name)
        else:
            built = await build(self.given)
            await self.store.save(name)
            self.states[name] = deepcopy((built, self.given.root, self.given.clock.moment))
        result: Result
        result, self.given.root, self.given.clock.moment = deepcopy(self.states[name])
        return result

    async def is_untouched(self) -> bool:
        """Whether the database has nothing but the root key and its event."""
        return await self.store.filled_tables() <= {"api_keys", "events"}


@pytest.fixture(scope="session")
def prepared_states() -> dict[str, dict[str, Any]]:
    """The results that `PreparedWorld` has built, by kind of database and name."""
    return {kind: {} for kind in databases.KINDS}


@pytest.fixture
async def given(
    kind: str,
    client: httpx.AsyncClient,
    world: World,
    clock: TurnedClock,
    settings: Settings,
    sqlite_database: databases.SqliteStore,
    postgres_database: tuple[Database, databases.PostgresStore],
    prepared_states: dict[str, dict[str, Any]],
) -> Given:
    given = await Given.with_root_key(client, world, clock)
    client.event_hooks["request"].append(given.count_request)
    if world.settings is settings:
        store = sqlite_database if kind == "sqlite" else postgres_database[1]
        given.states = PreparedWorld(given, store, prepared_states[kind])
    return given


@pytest.fixture
def prepared(given: Given) -> PreparedWorld:
    assert isinstance(given.states, PreparedWorld)
    return given.states


@pytest.fixture
async def shared_url(kind: str, sqlite_template: Path, new_postgres: NewPostgres, tmp_path: Path) -> str:
    """The URL of a migrated database that several processes may open."""
    return databases.copy_template(sqlite_template, tmp_path / "shared.db") if kind == "sqlite" else await new_postgres.migrated()


@pytest.fixture
async def second_world(shared_url: str) -> AsyncIterator[World]:
    """A world on the shared database that serves no requests: for builders, and for reading tables."""
    world = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": shared_url}))
    yield world
    await world.db.close()


@pytest.fixture
def relying_party(given: Given, app: FastAPI) -> None:
    """Passkeys are enabled. `pytestmark = pytest.mark.usefixtures("relying_party")` for a whole file."""
    given.taking_passkeys(app)
