"""One connection of a client: uvicorn's own, with an end to what that leaves open."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.base.problems import Problem
from app.web.errors import render
from app.web.problems import HeadTooLarge, NotHttp

HEAD = 64 * 1024
"""Octets that a request line and its headers may have together."""


class Connection(HttpToolsProtocol):
    """A head has HEAD octets at most, and is whole `patience` seconds after the connection, or the head, began. The same time ends what
    comes between two requests and begins none (empty lines, RFC 9112 section 2.2: they stop uvicorn's own clock), the rest of a body
    that was answered early, and a reader who takes nothing of an answer. The time of a body is the door's (`web/door.py`)."""

    def __init__(self, *arguments: Any, patience: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.patience = patience
        self.waiting: asyncio.TimerHandle | None = None
        self.stalled: asyncio.TimerHandle | None = None
        self.in_head = True
        self.refused = False
        self.arrived = 0
        self.head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        self.arrived += len(data)
        super().data_received(data)
        self._arrived()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_head, self.arrived, self.head = True, 0, 0
        self._wait()

    def on_url(self, url: bytes) -> None:
        self.head += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # nobody here reads what comes after a body
            self.head += len(name) + len(value) + len(": \r\n")
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.head > HEAD:
            raise ValueError("the parser stops at what a callback raises, and has send_400_response answer")
        self.in_head = False
        self._rest()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._rest()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer may come before the end of the body. What is left of it is thrown away, so that the answer is read; not for ever.
        Nor does an answer wait for ever in a connection that ends with it."""
        if self.cycle.more_body or self.transport.is_closing():
            self._wait()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._wait()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words
        self._refuse(HeadTooLarge() if self.head > HEAD else NotHttp())

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.stalled is None:
            self.stalled = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.stalled is not None:
            self.stalled.cancel()
            self.stalled = None

    def _arrived(self) -> None:
        if self.refused or self.transport.is_closing():
            return
        if self.in_head and self.arrived > HEAD:
            self._refuse(HeadTooLarge())
        elif not self._answering():
            self._wait()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]  # None before the first request

    def _refuse(self, problem: Problem) -> None:
        """Say no, and read on without listening: who closes at once, with something unread, takes the answer back (RFC 9112 section 9.6).
        An answer that is under way is not written into."""
        self.refused = True
        if self._answering():
            self.transport.abort()
            return
        answer = render(problem)
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        head = STATUS_LINE[answer.status_code] + b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(head + b"\r\n" + bytes(answer.body))
        self.transport.write_eof()
        self._wait()

    def _wait(self) -> None:
        if self.waiting is None:
            self.waiting = self.loop.call_later(self.patience, self.transport.abort)

    def _rest(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
