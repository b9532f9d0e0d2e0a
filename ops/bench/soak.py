"""The soak: two workers on PostgreSQL under mixed traffic for minutes. Shows growing response times, memory and errors.

Every figure has its spread over the windows of the run, and the last window's ratio to the first one's.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from ops.bench.load import HOST, request
from ops.bench.paths import strided
from ops.bench.seed import Holder, Seeded, seed
from ops.bench.stage import Server, pair
from tests.given import PASSWORD

WINDOWS = 10
REFRESHED = 60.0
"""Seconds between two refreshes of a session; its access tokens live for ten minutes."""
WARM_UP = 5.0
HEAD = ("path", "answers", "errors", "per s", "p50 ms", "min..max", "last/first", "p99 ms", "min..max", "last/first")


@dataclass
class Session:
    """A person with access to the product, whose tokens are renewed during the run."""

    holder: Holder
    token: str
    refresh: str


@dataclass
class Kind:
    """One kind of traffic: its clients, the `pause` in seconds after each response, and the expected `status`."""

    name: str
    clients: int
    pause: float
    following: Callable[[], bytes]
    status: int = 200
    waits: list[list[float]] = field(default_factory=lambda: [[] for _ in range(WINDOWS)])
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def answers(self) -> int:
        return sum(map(len, self.waits))


@dataclass
class Soak:
    servers: Sequence[Server]
    kinds: Sequence[Kind]
    sessions: Sequence[Session]
    seconds: float

    async def play(self) -> None:
        self.start = perf_counter() + WARM_UP
        clients = [(kind, number) for kind in self.kinds for number in range(kind.clients)]
        keeping = asyncio.create_task(self._keep())
        try:
            await asyncio.gather(
                *(self._client(kind, self.servers[number % len(self.servers)].port) for number, (kind, _) in enumerate(clients))
            )
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    def _window(self) -> int | None:
        """Which one it is; None while warming up and after the end."""
        past = perf_counter() - self.start
        return int(past / self.seconds * WINDOWS) if 0 <= past < self.seconds else None

    async def _client(self, kind: Kind, port: int) -> None:
        """A closed loop over one connection, or over the next one when it was lost."""
        while perf_counter() < self.start + self.seconds:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(HOST, port)
                try:
                    await self._loop(kind, reader, writer)
                finally:
                    writer.close()

    async def _loop(self, kind: Kind, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while perf_counter() < self.start + self.seconds:
            sent = perf_counter()
            try:
                status, content = await exchanged(reader, writer, kind.following())
            except (OSError, asyncio.IncompleteReadError):
                kind.errors["no answer"] += 1
                raise
            window = self._window()
            if status != kind.status:
                kind.errors[f"{status} {content.get('code')}"] += 1
            elif window is not None:
                kind.waits[window].append(perf_counter() - sent)
            await asyncio.sleep(kind.pause)

    async def _keep(self) -> None:
        """Renew every session now and then. A refresh that fails is seen: the calls of its session are errors from then on."""
        for turn in count():
            await asyncio.sleep(REFRESHED)
            reader, writer = await asyncio.open_connection(HOST, self.servers[turn % len(self.servers)].port)
            for session in self.sessions:
                asked = request("POST", "/v1/token/refresh", {"refresh_token": session.refresh})
                status, content = await exchanged(reader, writer, asked)
                if status == 200:
                    session.token, session.refresh = content["access_token"], content["refresh_token"]
            writer.close()


async def exchanged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes) -> tuple[int, dict[str, Any]]:
    """(the status, the JSON body). Raises OSError and IncompleteReadError when the connection is lost."""
    writer.write(asked)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].split(b"\r", 1)[0])
    body: dict[str, Any] = json.loads(await reader.readexactly(length))
    return int(head.split(b" ", 2)[1]), body


def kinds(seeded: Seeded, sessions: Sequence[Session]) -> list[Kind]:
    """Mostly checks, as applications send them; some writes; and logins, which cost the most."""
    checked, activated, new, added = strided(seeded.checked), strided(seeded.activated), count(), count()
    each, them = cycle(sessions), cycle(sessions)
    login = request("POST", "/v1/login", {"identifier": seeded.plain, "password": PASSWORD})

    def access_body(key: str, fingerprint: str) -> dict[str, Any]:
        return {"product": seeded.product, "license_key": key, "device": {"fingerprint": fingerprint}}

    def validate() -> bytes:
        license = next(checked)
        return request("POST", "/v1/licenses/validate", access_body(license.key, license.fingerprint))

    def access() -> bytes:
        session = next(each)
        return request("POST", "/v1/access", access_body(session.holder.key, session.holder.fingerprint), session.token)

    def activate() -> bytes:
        return request("POST", "/v1/activations", {"license_key": next(activated).key, "device": {"fingerprint": f"soak-{next(new)}"}})

    def usage() -> bytes:
        body = {"license_key": next(activated).key, "meter": "calls", "add": 1}
        plain = request("POST", "/v1/usage", body)
        return plain.replace(b"\r\n", f"\r\nIdempotency-Key: soak-{next(added)}\r\n".encode(), 1)

    return [
        Kind("validate", 6, 0.02, validate),
        Kind("access", 4, 0.03, access),
        Kind("me", 2, 0.03, lambda: request("GET", "/v1/me", token=next(them).token)),
        Kind("activate", 2, 0.05, activate, 201),
        Kind("usage, idempotent", 2, 0.05, usage),
        Kind("log in, password", 2, 0.4, lambda: login),
        Kind("healthz", 1, 0.1, lambda: request("GET", "/healthz")),
    ]


def show(soak: Soak, memory: Sequence[tuple[float, float]]) -> Iterator[str]:
    yield f"{HEAD[0]:20}" + "".join(f"{cell:>14}" for cell in HEAD[1:])
    for kind in soak.kinds:
        rate = f"{kind.answers / soak.seconds:.1f}"
        cells = (str(kind.answers), str(kind.errors.total()), rate, *_spread(kind.waits, 50), *_spread(kind.waits, 99))
        yield f"{kind.name:20}" + "".join(f"{cell:>14}" for cell in cells)
    for kind in soak.kinds:
        if kind.errors:
            yield f"errors, {kind.name}: " + ", ".join(f"{what} {times}" for what, times in kind.errors.most_common())
    for number, (before, after) in enumerate(memory, 1):
        yield f"memory of worker {number}: {before:.0f} MB after the warm-up, {after:.0f} MB at the end ({after / before:.2f})"
    yield f"{soak.seconds:.0f} s in {WINDOWS} windows; load average at the end {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"


def _spread(waits: Sequence[Sequence[float]], percent: int) -> tuple[str, str, str]:
    """(median over the windows, the least and the most of them, the last over the first)."""
    each = [quantiles(window, n=100)[percent - 1] * 1000 for window in waits if len(window) > 1]
    if not each:
        return "", "", ""
    return f"{median(each):.2f}", f"{min(each):.1f}..{max(each):.1f}", f"{each[-1] / each[0]:.2f}"


async def _played(servers: Sequence[Server], seeded: Seeded, seconds: float) -> str:
    sessions = [Session(holder, holder.token, holder.refresh) for holder in seeded.holders]
    soak = Soak(servers, kinds(seeded, sessions), sessions, seconds)
    playing = asyncio.create_task(soak.play())
    await asyncio.sleep(WARM_UP)
    before = [server.megabytes() for server in servers]
    await playing
    return "\n".join(show(soak, list(zip(before, [server.megabytes() for server in servers], strict=True))))


def soaked(run: Callable[..., Any], minutes: float) -> str:
    """Seed the database, play the traffic, and return the report. `run` runs a coroutine."""
    with pair() as (settings, servers):
        seeded = run(seed(settings, meters={"calls": {"limit": "unlimited", "per": "hour"}}))
        return str(run(_played(servers, seeded, minutes * 60)))
