"""One client connection: uvicorn's HTTP protocol with a deadline and a size limit for request heads, and a cap on connections."""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.base.problems import Problem
from app.server.limits import ConnectionLimits
from app.web.errors import problem_response
from app.web.problems import HeadTooLarge, NotHttp

MAX_HEAD = 64 * 1024  # bytes of a request line and its headers


class ClientProtocol(HttpToolsProtocol):
    """One connection. While no request runs, incoming bytes start a deadline; the connection ends if no head is complete by then.

    Empty lines between requests start it too, and so does the rest of a body that was answered early. `EdgeMiddleware` limits bodies.
    Pipelined requests are not answered: the connection closes after the first response, and the client sends them again.
    """

    def __init__(self, *args: Any, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(*args, **options)
        self.limits = limits
        self.deadline: asyncio.TimerHandle | None = None
        self.stall: asyncio.TimerHandle | None = None
        self.received = self.head = 0
        self.running = self.in_body = self.refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn has the same override
        super().connection_made(transport)
        if self.limits.admit(self.loop.time()):
            self._start_deadline()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.limits.release()
        self._stop_deadline()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.refused:
            self.received += len(data)
            super().data_received(data)
            if (
                not self.in_body and self.received > MAX_HEAD and not self.refused
            ):  # the parser itself has no limit for an unfinished header
                self._refuse(HeadTooLarge())
            elif not self.running:
                self._start_deadline()

    def on_url(self, url: bytes) -> None:
        self.head += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.head += len(name) + len(value) + len(": \r\n")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.head > MAX_HEAD or self.running:
            raise ValueError("the parser stops, and uvicorn calls send_400_response")
        self._stop_deadline()
        self.received, self.head, self.running, self.in_body = 0, 0, True, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.received, self.in_body = 0, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.running = False
        super().on_response_complete()
        if self.refused:
            self.transport.close()
        if self.transport.is_closing():
            self._start_deadline()  # the client may not read the rest of the response

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stall = self.stall or self.loop.call_later(self.limits.timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.stall is not None:
            self.stall.cancel()
            self.stall = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's text
        self._refuse(HeadTooLarge() if self.head > MAX_HEAD else NotHttp())

    def _refuse(self, problem: Problem) -> None:
        """Send the problem and discard input until the deadline: closing with unread input loses the response (RFC 9112 section 9.6).

        A running request is not interrupted, unless the rest of its body cannot be read.
        """
        self.refused = True
        if self.running:
            if self.in_body:
                self.transport.abort()
            return
        response = problem_response(problem)
        status, headers = HTTPStatus(response.status_code), [*response.raw_headers, (b"connection", b"close")]
        lines = [f"HTTP/1.1 {status} {status.phrase}".encode(), *(b"%b: %b" % header for header in headers), b"", bytes(response.body)]
        self.transport.write(b"\r\n".join(lines))
        self.transport.write_eof()
        self._start_deadline()

    def _start_deadline(self) -> None:
        self.deadline = self.deadline or self.loop.call_later(self.limits.timeout, self.transport.abort)

    def _stop_deadline(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
