"""The processes of a run: a throw-away PostgreSQL, the real server, the floor and the ceiling. All of them end with the run."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
from alembic import command

from app.base.entropy import Entropy
from app.config.settings import Settings
from app.db import revision
from ops.bench.load import HOST
from tests.authenticator import ORIGIN, RP_ID

DATABASE = "bench"
TIMEOUT = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
Environ = dict[str, str]


@dataclass(frozen=True)
class Server:
    """A server process of this run, on a port of the loopback."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """Seconds of CPU that the process has used, all threads, user and system (proc(5), fields 14 and 15)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def megabytes(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@dataclass(frozen=True)
class Stage:
    """The processes of a run. `idle` is the real server's memory before its first request, in MB."""

    settings: Settings
    app: Server
    floor: Server
    ceiling: Server
    idle: float

    def server(self, name: str) -> Server:
        return {server.name: server for server in (self.app, self.floor, self.ceiling)}[name]


@contextmanager
def stage() -> Iterator[Stage]:
    """Start everything on a migrated, empty database; always stop and delete it at the end."""
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with _postgres() as where:
            socket_folder, user, name = where
            environ = _environ(f"postgresql+asyncpg://{user}@/{name}?host={socket_folder}", free_port(), home)
            settings = Settings.load(environ)
            command.upgrade(revision.alembic_config(settings.database_url), "head")
            with (
                _served("app", settings.port, ["app", "serve"], environ, home) as app,
                _floor("floor", where, home) as floor,
                _floor("ceiling", where, home) as ceiling,
            ):
                yield Stage(settings, app, floor, ceiling, app.megabytes())
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def pair() -> Iterator[tuple[Settings, list[Server]]]:
    """Two real servers on one migrated, empty database, and the settings of the first."""
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with _postgres() as (folder, user, name), ExitStack() as stack:
            environ = _environ(f"postgresql+asyncpg://{user}@/{name}?host={folder}", free_port(), home)
            settings = Settings.load(environ)
            command.upgrade(revision.alembic_config(settings.database_url), "head")
            ports = {"first": settings.port, "second": free_port()}
            each = [_served(name, port, ["app", "serve"], environ | {"LICENTIA_PORT": str(port)}, home) for name, port in ports.items()]
            yield settings, [stack.enter_context(server) for server in each]
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _postgres() -> Iterator[list[str]]:
    """Its socket's folder, its user and the name of an empty database."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.bench.database"],
        cwd=revision.ROOT, text=True, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        home, user = process.stdout.readline().split()
        asyncio.run(_created(home, user))
        yield [home, user, DATABASE]
    finally:
        process.stdin.close()
        process.wait()


async def _created(home: str, user: str) -> None:
    connection = await asyncpg.connect(host=home, user=user, database="postgres")
    await connection.execute(f"CREATE DATABASE {DATABASE}")
    await connection.close()


def _environ(url: str, port: int, home: Path) -> Environ:
    """The environment as in the container: real secrets, unbuffered JSON logs, and no variable of the caller."""
    entropy = Entropy()
    return {
        "PYTHONUNBUFFERED": "1",
        # Not `production`: that one would not let a single address log in as often as a bench does.
        "LICENTIA_ENV": "development",
        "LICENTIA_LOGIN_POSTS_PER_MINUTE": "100000",
        "LICENTIA_LOGIN_FAILURES_PER_IP": "100000",
        "LICENTIA_DATABASE_URL": url,
        "LICENTIA_PORT": str(port),
        "LICENTIA_PUBLIC_URL": f"http://{HOST}:{port}",
        "LICENTIA_ENCRYPTION_KEYS": "k1:" + b64encode(entropy.random_bytes(32)).decode(),
        "LICENTIA_LOOKUP_KEY": b64encode(entropy.random_bytes(32)).decode(),
        "LICENTIA_LOG_FORMAT": "json",
        "LICENTIA_WEBAUTHN_RP_ID": RP_ID,
        "LICENTIA_WEBAUTHN_ORIGINS": ORIGIN,
        "LICENTIA_VAR": str(home),
    }


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _floor(kind: str, where: Sequence[str], home: Path) -> Iterator[Server]:
    port = free_port()
    with _served(kind, port, ["ops.bench.floor", kind, str(port), *where], {}, home) as server:
        yield server


@contextmanager
def _served(name: str, port: int, module: Sequence[str], environ: Environ, home: Path) -> Iterator[Server]:
    """Start a server in its own process group, so that Ctrl-C does not reach it directly. Its output goes to a file."""
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=revision.ROOT, env=environ, stdout=log, stderr=log, start_new_session=True
        )
    server = Server(name, port, process)
    try:
        _await(server, home)
        yield server
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _await(server: Server, home: Path) -> None:
    """Wait until it listens. Raises RuntimeError with the end of its output."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and server.process.poll() is None:
        with suppress(OSError), socket.create_connection((HOST, server.port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{server.name} did not start:\n" + (home / f"{server.name}.log").read_text(errors="replace")[-4000:])
