"""One connection of a client: uvicorn's own, with an end to what that leaves open and a bound to what it keeps."""

import asyncio
import resource
from contextlib import suppress
from typing import Any, ClassVar

import structlog
from prometheus_client import Counter, Gauge
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.base.problems import Problem
from app.web.errors import problem_response
from app.web.problems import HeadTooLarge, NotHttp

HEAD = 64 * 1024
"""Octets that a request line and its headers may have together."""
SLICE = 2048
"""Octets that the parser gets at once: what one slice may hold of requests that are sent ahead is all that is kept of them."""
RESERVE = 64
"""Descriptors that are not for clients: the database, files, letters, webhooks."""
MOST = 2**20
TOLD_EVERY = 60.0

CLIENTS = Gauge("licentia_client_connections", "Connections of clients that are open")
TURNED_AWAY = Counter("licentia_connections_turned_away_total", "Connections closed at once, for there were as many as there may be")
log = structlog.get_logger("licentia.connections")


def max_connections() -> int:
    """How many clients may be connected: as many as the system lets this process have descriptors for, as far as it can be raised."""
    most, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # where the highest is no number that the system takes
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
        most = highest
    return MOST if most == resource.RLIM_INFINITY else max(RESERVE, most - RESERVE)


class Flow(FlowControl):
    """Nothing more is read while something is held: uvicorn reads on after each answer, however much is waiting by then."""

    def __init__(self, transport: asyncio.Transport, held: bytearray) -> None:
        super().__init__(transport)
        self.held = held

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """A head has HEAD octets at most, and is whole `patience` seconds after the connection, or the head, began. The same time ends what
    comes between two requests and begins none (empty lines, RFC 9112 section 2.2: they stop uvicorn's own clock), the rest of a body
    that was answered early, and a reader who takes nothing of an answer. The time of a body is the door's (`web/door.py`).

    Requests may be sent ahead (RFC 9112 section 9.3.2). They are parsed one slice at a time, and the next when those were answered.
    """

    told_again: ClassVar[float] = 0.0
    """When the log may say once more that there is no room."""

    def __init__(self, *arguments: Any, patience: float, most: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.patience = patience
        self.most = most
        self.held = bytearray()
        self.running: RequestResponseCycle | None = None
        self.waiting: asyncio.TimerHandle | None = None
        self.stalled: asyncio.TimerHandle | None = None
        self.in_head = True
        self.refused = False
        self.arrived = 0
        self.head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        CLIENTS.inc()
        self.flow = Flow(transport, self.held)
        if len(self.connections) > self.most:
            self._turn_away()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The request that came last is told by uvicorn; the one that is being answered has to know."""
        CLIENTS.dec()
        self._rest()
        self.resume_writing()
        self.pipeline.clear()
        self.held.clear()
        self._gone()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.refused:
            self.held += data
            self._parse()

    def _parse(self) -> None:
        while self.held and not self.pipeline and not self.refused and not self.transport.is_closing():
            piece = bytes(self.held[:SLICE])
            del self.held[:SLICE]
            if not self.held:
                self.flow.resume_reading()  # before the piece: whatever is in it may pause it again
            self.arrived += len(piece)
            super().data_received(piece)
            self._arrived()
        if self.held:
            self.flow.pause_reading()

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
        ended, self.running = self.running, None
        if self.transport.is_closing() or (ended is not None and ended.more_body):
            self._wait()
        super().on_response_complete()
        if self.held:
            self.loop.call_soon(self._parse)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def _unsupported_upgrade_warning(self) -> None:
        """Many clients ask for HTTP/2 this way and are content without (`curl --http2`): nobody has to be warned."""

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
        return self.running is not None

    def _gone(self) -> None:
        """Whoever answers need not go on."""
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True
            self.running.message_event.set()

    def _turn_away(self) -> None:
        TURNED_AWAY.inc()
        self.transport.abort()
        now = self.loop.time()
        if now >= self.told_again:
            Connection.told_again = now + TOLD_EVERY
            log.warning("connections_full", most=self.most)

    def _refuse(self, problem: Problem) -> None:
        """Say no, and read on without listening: who closes at once, with something unread, takes the answer back (RFC 9112 section 9.6).
        An answer that is under way is not written into."""
        self.refused = True
        self.held.clear()
        self.pipeline.clear()
        if self.running is not None and self.running.response_started:
            self.transport.abort()
            return
        self._gone()
        answer = problem_response(problem)
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        head = STATUS_LINE[answer.status_code] + b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(head + b"\r\n" + bytes(answer.body))
        self.transport.write_eof()
        self._wait()

    def _wait(self) -> None:
        if self.waiting is None:
            self.waiting = self.loop.call_later(self.patience, self._late)

    def _late(self) -> None:
        self.waiting = None
        if self.held and not self.transport.is_closing():
            self._wait()  # it came, and we have not come to it
        else:
            self.transport.abort()

    def _rest(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
