"""A small load generator: clients in a closed loop over kept-alive sockets. Refuses to count an answer that it did not check."""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter
from typing import Any, cast

HOST = "127.0.0.1"
MOST = 200_000
TIMEOUT = 20.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class WrongAnswer(Exception):
    """An answer that is not what the path is measured for. Carries its first bytes."""


@dataclass(frozen=True)
class Work:
    """What `clients` send, each the next request when its last one was answered; they stop early when `requests` end.

    A good answer has this `status` and `tells` somewhere in it. `pause` is in seconds, between an answer and the next request.
    """

    port: int
    clients: int
    requests: Iterator[bytes]
    status: int = 200
    tells: bytes = b""
    pause: float = 0


@dataclass
class Tally:
    """Seconds from the first request to the last answer, and how long each answer took, in seconds."""

    seconds: float = 0
    waits: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.waits) / self.seconds if self.seconds else 0

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        return quantiles(self.waits, n=100)[percent - 1] * 1000 if len(self.waits) > 1 else 0


def request(method: str, path: str, body: dict[str, Any] | None = None, token: str | None = None) -> bytes:
    """One HTTP/1.1 request, ready to be sent as often as one likes."""
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Client(asyncio.Protocol):
    """One client: sends a request, waits for the whole response, checks it, and continues until time or requests end, or a timeout."""

    def __init__(self, work: Work, tally: Tally) -> None:
        self.work, self.tally = work, tally
        self.loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self.loop.create_future()
        self.answer = b""
        self.wanted = f"HTTP/1.1 {work.status}".encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def begin(self, until: float) -> None:
        self.until = until
        self._send()

    def _send(self) -> None:
        late = perf_counter() >= self.until or len(self.tally.waits) >= MOST
        following = None if late else next(self.work.requests, None)
        if following is None:
            self._stop()
            return
        self.answer = b""
        self.sent = perf_counter()
        self.transport.write(following)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not whole(self.answer):
            return
        self.tally.waits.append(perf_counter() - self.sent)
        if not self.answer.startswith(self.wanted) or self.work.tells not in self.answer:
            self._stop(WrongAnswer(self.answer[:800].decode(errors="replace")))
        elif self.work.pause:
            self.loop.call_later(self.work.pause, self._send)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(WrongAnswer(f"the server hung up: {exc}"))

    def _stop(self, wrong: Exception | None = None) -> None:
        if self.over.done():
            return
        if wrong is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(wrong)


def whole(answer: bytes) -> bool:
    """Whether the answer has arrived, body and all."""
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        return False
    match = _LENGTH.search(head)
    return match is None or len(body) >= int(match.group(1))


async def drive(work: Work, seconds: float) -> Tally:
    """Let the clients work for this long; what is under way then is waited for. Raises WrongAnswer."""
    tally = Tally()
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(lambda: Client(work, tally), HOST, work.port) for _ in range(work.clients)]
    try:
        start = perf_counter()
        for _, client in pairs:
            client.begin(start + seconds)
        async with asyncio.timeout(seconds + TIMEOUT):
            await asyncio.gather(*(client.over for _, client in pairs))
        tally.seconds = perf_counter() - start
    finally:
        for transport, _ in pairs:
            transport.abort()
    return tally


async def together(works: Sequence[Work], seconds: float) -> list[Tally]:
    """Several works at the same time; the first is the one that is looked at."""
    return list(await asyncio.gather(*(drive(work, seconds) for work in works)))
