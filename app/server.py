"""Serving: uvicorn with one worker, and a shutdown that tells the load balancer before it closes the door."""

import asyncio
import gc
from functools import partial
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.base.settings import Settings

HEAD = 64 * 1024
"""Octets that a request line and its headers may have together."""


class Connection(HttpToolsProtocol):
    """uvicorn's, with an end to what that leaves open. A head stays below HEAD, and is whole `patience` seconds after the connection, or
    the head, began; who takes nothing of an answer for that long is cut off. The time of a body is the door's (`web/door.py`)."""

    def __init__(self, *arguments: Any, patience: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.patience = patience
        self.waiting: asyncio.TimerHandle | None = None
        self.stalled: asyncio.TimerHandle | None = None
        self.in_head = True
        self.head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.head += len(data)
        super().data_received(data)
        if self.in_head and self.head > HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_head, self.head = True, 0
        self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # nobody here reads what comes after a body
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.in_head = False
        self._rest()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._rest()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer may come before the end of the body. What is left of it is thrown away, so that the answer is read; not for ever."""
        if self.cycle.more_body:
            self._wait()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.stalled is None:
            self.stalled = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.stalled is not None:
            self.stalled.cancel()
            self.stalled = None

    def _wait(self) -> None:
        if self.waiting is None:
            self.waiting = self.loop.call_later(self.patience, self.transport.abort)

    def _rest(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None


class DrainingServer(uvicorn.Server):
    """On SIGTERM: not ready at once, still serving for `shutdown_delay` seconds, then finish what runs and leave."""

    def __init__(self, config: uvicorn.Config, api: FastAPI, delay: float) -> None:
        super().__init__(config)
        self.api = api
        self.delay = delay

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.api.state.draining = True
        if self.delay and not self.should_exit and not self._captured_signals:
            self._captured_signals.append(sig)
            asyncio.get_running_loop().call_later(self.delay, self._leave)
        else:
            super().handle_exit(sig, frame)

    def _leave(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """What the start has made stays for good; taking it out of the collector's sight spares each full collection 0.1 s."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()


def server(api: FastAPI, settings: Settings) -> DrainingServer:
    """A server of this application, as the settings say."""
    config = uvicorn.Config(
        api,
        host=settings.host,
        port=settings.port,
        http=partial(Connection, patience=settings.body_timeout),  # type: ignore[arg-type]  # whatever makes a protocol will do
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )
    return DrainingServer(config, api, settings.shutdown_delay)
