"""A real HTTP receiver on loopback that accepts requests, or fails, hangs, redirects or answers slowly."""

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
    """One received request."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.body)
        return payload


Answer = Callable[[Received], Awaitable[bytes]]


def status(code: int, body: str = "", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Word", f"Content-Length: {len(body.encode())}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", body]).encode()


@dataclass
class Receiver:
    """`answer` returns the response to a request; `received` are all requests, `active` counts those being answered.

    `lingers`: seconds that a connection stays open after the response.
    """

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answer: Answer | None = None
    active: int = 0
    max_active: int = 0
    lingers: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def types(self) -> list[str]:
        return [came.payload["type"] for came in self.received]

    def always_answer(self, answer: bytes) -> None:
        async def give(_came: Received) -> bytes:
            return answer

        self.answer = give

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._exchange(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has disconnected
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        came = Received(first.split()[1], headers, body.decode())
        self.received.append(came)
        self.active += 1
        self.max_active = max(self.active, self.max_active)
        try:
            writer.write(await self.answer(came) if self.answer else TAKEN)
            await writer.drain()
            await asyncio.sleep(self.lingers)
        finally:
            self.active -= 1


@asynccontextmanager
async def open_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
