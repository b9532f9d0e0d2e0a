"""A real receiver on loopback that takes what it is sent, or fails, hangs, redirects and dawdles as it is told to."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


Answer = Callable[[Received], Awaitable[bytes]]


def status(code: int, body: str = "", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Word", f"Content-Length: {len(body.encode())}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", body]).encode()


@dataclass
class Receiver:
    """`answer` is asked for each request; `received` has them all, `held` is how many are being answered. `lingers`: for how many seconds a
    connection stays open after the answer."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answer: Answer | None = None
    held: int = 0
    most_held: int = 0
    lingers: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def types(self) -> list[str]:
        return [came.told["type"] for came in self.received]

    def always(self, answer: bytes) -> None:
        async def give(_came: Received) -> bytes:
            return answer

        self.answer = give

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._exchange(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever called has gone
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        came = Received(first.split()[1], headers, body.decode())
        self.received.append(came)
        self.held += 1
        self.most_held = max(self.held, self.most_held)
        try:
            writer.write(await self.answer(came) if self.answer else TAKEN)
            await writer.drain()
            await asyncio.sleep(self.lingers)
        finally:
            self.held -= 1


@asynccontextmanager
async def open_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
