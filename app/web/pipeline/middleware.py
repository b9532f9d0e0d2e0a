"""The outermost ASGI layer: one pass in and out. Bodies become JSON whatever their label, every answer is counted, logged
and not cached unless it says so, and an exception nobody foresaw becomes a 500 problem."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import NamedTuple

import structlog
from opentelemetry import trace
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.base.problems import Busy, Problem
from app.config.settings import Settings
from app.observability.logs import MASK, current_request_id, make_access_logger, mask
from app.web.errors import log_unexpected, problem_response
from app.web.probes import metrics
from app.web.problems import BodyTooLarge, BodyTooSlow, UnsupportedEncoding

log = structlog.get_logger("licentia.door")

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_UUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_PIECE = "(?:[a-z]{1,15}|[0-9]{1,10}|[a-z0-9]{1,8})(?![a-z0-9])"
_PLAIN = re.compile(rf"[a-z]{{0,15}}|v[0-9]|{_UUID}", re.ASCII)
"""A word or an id, which no secret looks like."""
_SLUG = re.compile(rf"(?=.{{1,48}}\Z)\.?{_PIECE}(?:[._-]{_PIECE})*", re.ASCII)
"""Short words with marks between them: codes, most slugs, files of ours. What was drawn by chance has longer pieces."""
_IDENTIFIER = re.compile(rf"{_UUID}|[0-9a-f]{{32}}", re.ASCII)
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_UTF_8 = {b"utf-8", b"utf8", b"us-ascii"}
_QUIET = ("/healthz", "/readyz", "/metrics")
_BODY = {b"content-length", b"transfer-encoding"}
_JSON = (b"content-type", b"application/json")
_UNLESS_SAID = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
GONE = 499
"""In the log and the counters, nginx's word for a client that left before the end of its own body."""
BODIES = 64
"""So many bodies of the largest size may be in memory at once; most are a few hundred octets."""


Judgement = Callable[[bytes, int], Problem | None]
"""(a header's value, the largest body) to why the request cannot be taken."""


class RequestHeaders(NamedTuple):
    """What the headers of a request say to the door."""

    request_id: str | None
    refused: Problem | None
    body: bool


class EdgeMiddleware:
    """Every request has an id: the caller's `X-Request-Id` if sane and no secret by its look, else a fresh one.

    A body larger than the setting is refused before it is read (or, without Content-Length, while it is), one that does not arrive in
    time is given up, and what comes on top of `max_requests`, or of BODIES in memory, is told to come again: memory has a bound
    whatever comes.
    """

    def __init__(self, app: ASGIApp, settings: Settings, fresh: Callable[[], str]) -> None:
        self.app = app
        self.max_body = settings.max_body
        self.max_requests = settings.max_requests
        self.body_timeout = settings.body_timeout
        self.inside = 0
        self.octets = 0
        self.judged = _JUDGED if settings.trusted_proxies else {**_JUDGED, b"x-forwarded-for": self._unheeded}
        self.write = make_access_logger(settings)
        self.fresh = fresh

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 500
        knock = _knock(scope, self.max_body, self.judged)
        request_id = knock.request_id or self.fresh()
        current_request_id.set(request_id)

        async def leave(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _headers(message.get("headers", ()), request_id)
            await send(message)

        refused = knock.refused or (Busy() if self.inside >= self.max_requests and scope["path"] not in _QUIET else None)
        body = Body(self, receive)
        self.inside += 1
        try:
            if refused is not None:
                await problem_response(refused)(scope, receive, leave)
            else:
                await self.app(scope, body.receive if knock.body else receive, leave)
        except ClientDisconnect:
            status = GONE
        except Exception as error:  # noqa: BLE001  the last line of defence: a 500 that says nothing
            await log_unexpected(error)(scope, receive, leave)
        finally:
            self.inside -= 1
            self.octets -= body.octets
            self._note(scope, request_id, status, perf_counter() - start)

    def _unheeded(self, _value: bytes, _max_body: int) -> None:
        """Told once: there is a proxy, nobody named it, and so all its callers have one address and one set of limits."""
        if self.judged is not _JUDGED:  # one request may have the header twice
            log.warning("forwarded_for_unheeded", hint="callers behind a proxy share its address until LICENTIA_TRUSTED_PROXIES names it")
        self.judged = _JUDGED

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        metrics.observe(scope["method"], route, status, seconds)
        if route not in _QUIET:
            path, client = scope["path"], scope.get("client")
            line = {
                "method": scope["method"],
                "path": path if path == route else mask_path(path),
                "status": status,
                "ms": round(seconds * 1000, 2),
                "client": client[0] if client else None,
                "request_id": request_id,
            }
            if "fastapi.telemetry" in scope:
                line["trace_id"] = format(trace.get_current_span().get_span_context().trace_id, "032x")
            self.write(line)


def is_probe(scope: Scope) -> bool:
    """Whether a call is of probes and scrapers, and so neither logged nor traced."""
    return scope.get("path") in _QUIET


class Body:
    """The body on its way in, with an end in size and in time."""

    def __init__(self, door: EdgeMiddleware, receive: Receive) -> None:
        self.door = door
        self.inner = receive
        self.octets = 0
        self.whole = False
        self.until: float | None = None

    async def receive(self) -> Message:
        """The next part. Raises BodyTooLarge, BodyTooSlow, and Busy when there are too many bodies about."""
        if self.whole:
            return await self.inner()
        if self.until is None:
            self.until = asyncio.get_running_loop().time() + self.door.body_timeout
        try:
            async with asyncio.timeout_at(self.until):
                message = await self.inner()
        except TimeoutError:
            raise BodyTooSlow from None
        self.whole = not message.get("more_body", False)
        self._count(len(message.get("body", b"")))
        return message

    def _count(self, octets: int) -> None:
        self.octets += octets
        self.door.octets += octets
        if self.octets > self.door.max_body:
            raise BodyTooLarge
        if self.door.octets > BODIES * self.door.max_body:
            raise Busy


def mask_path(path: str) -> str:
    """The path for the log: ids, short slugs and words stay; anything else may be a secret that somebody pasted in."""
    return "/".join(part if _PLAIN.fullmatch(part) else _doubtful(part) for part in path[:1024].split("/"))[:256]


def _doubtful(part: str) -> str:
    return str(mask(part)) if _SLUG.fullmatch(part) else MASK


def _knock(scope: Scope, max_body: int, judged: Mapping[bytes, Judgement]) -> RequestHeaders:
    """The id, and why the body cannot be read as plain JSON. If it can, it is labelled so (no cookies anywhere, so this is safe)."""
    sent: bytes | None = None
    refused: Problem | None = None
    kept, body = [], False
    for header in scope["headers"]:
        name, value = header
        body = body or name in _BODY
        if name == b"x-request-id" and sent is None:
            sent = value
        elif name in judged and refused is None:
            refused = judged[name](value, max_body)
        if name != b"content-type":
            kept.append(header)
    if refused is None:
        scope["headers"] = [*kept, _JSON]
    return RequestHeaders(_sane(sent), refused, body)


def _sane(sent: bytes | None) -> str | None:
    if not sent:
        return None
    text = sent.decode("latin-1")
    if _IDENTIFIER.fullmatch(text) or (_SANE_ID.fullmatch(text) and mask(text) == text):  # it is written to every line as it is
        return text
    log.warning("request_id_replaced")
    return None


def _encoding(value: bytes, _max_body: int) -> Problem | None:
    return UnsupportedEncoding() if value.strip().lower() not in {b"", b"identity"} else None


def _type(value: bytes, _max_body: int) -> Problem | None:
    charset = _CHARSET.search(value) if b"=" in value else None
    return UnsupportedEncoding() if charset and charset.group(1).lower() not in _UTF_8 else None


def _length(value: bytes, max_body: int) -> Problem | None:
    return BodyTooLarge() if not value.isdigit() or int(value[:20]) > max_body else None


_JUDGED: dict[bytes, Judgement] = {b"content-encoding": _encoding, b"content-type": _type, b"content-length": _length}


def _headers(said: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    headers = list(said)
    names = {name for name, _ in headers}
    headers += [header for header in _UNLESS_SAID if header[0] not in names]
    headers.append((b"x-request-id", request_id.encode("latin-1")))
    return headers
