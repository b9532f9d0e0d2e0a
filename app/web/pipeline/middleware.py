"""The outermost ASGI middleware. It labels bodies as JSON, counts and logs every response, marks responses as not cacheable unless they
say otherwise, and turns an unexpected exception into a 500 problem."""

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
from app.observability.logs import current_request_id, make_access_logger, mask
from app.web.errors import log_unexpected, problem_response
from app.web.probes import metrics
from app.web.problems import BodyTooLarge, BodyTooSlow, UnsupportedEncoding

log = structlog.get_logger("licentia.http")

_SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_UUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_ID = re.compile(_UUID, re.ASCII)
_IDENTIFIER = re.compile(rf"{_UUID}|[0-9a-f]{{32}}", re.ASCII)
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_UTF_8 = {b"utf-8", b"utf8", b"us-ascii"}
_QUIET = ("/healthz", "/readyz", "/metrics")
_BODY = {b"content-length", b"transfer-encoding"}
_JSON = (b"content-type", b"application/json")
_DEFAULT_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
GONE = 499
"""Status in the log and the counters for a client that disconnected before the end of its own body; nginx uses the same."""
BODIES = 64
"""How many bodies of the maximum size may be in memory at once; most bodies have a few hundred bytes."""
UNMATCHED = "unmatched"
"""The logged path of a request that no route matches."""


HeaderCheck = Callable[[bytes, int], Problem | None]
"""(value of a header, maximum body size) to the problem that refuses the request, or None."""


class RequestHeaders(NamedTuple):
    """What the middleware takes from the headers of a request. `body`: whether a body follows."""

    request_id: str | None
    refused: Problem | None
    body: bool


class EdgeMiddleware:
    """Gives every request an id: the caller's `X-Request-Id` if it is safe to log, else a new one.

    Memory is bounded. A body above the size limit is refused, if possible before it is read; one that does not arrive in time is
    refused; requests above `max_requests`, or above BODIES of the maximum size in memory, get a 503.
    """

    def __init__(self, app: ASGIApp, settings: Settings, fresh: Callable[[], str]) -> None:
        self.app = app
        self.max_body = settings.max_body
        self.max_requests = settings.max_requests
        self.body_timeout = settings.body_timeout
        self.inside = 0
        self.body_bytes = 0
        self.checks = _CHECKS if settings.trusted_proxies else {**_CHECKS, b"x-forwarded-for": self._warn_forwarded}
        self.write = make_access_logger(settings)
        self.fresh = fresh

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 500
        headers = _read_headers(scope, self.max_body, self.checks)
        request_id = headers.request_id or self.fresh()
        current_request_id.set(request_id)

        async def send_response(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_defaults(message.get("headers", ()), request_id)
            await send(message)

        refused = headers.refused or (Busy() if self.inside >= self.max_requests and scope["path"] not in _QUIET else None)
        body = Body(self, receive)
        self.inside += 1
        try:
            if refused is not None:
                await problem_response(refused)(scope, receive, send_response)
            else:
                await self.app(scope, body.receive if headers.body else receive, send_response)
        except ClientDisconnect:
            status = GONE
        except Exception as error:  # noqa: BLE001  the last line of defence: a 500 that says nothing
            await log_unexpected(error)(scope, receive, send_response)
        finally:
            self.inside -= 1
            self.body_bytes -= body.body_bytes
            self._log(scope, request_id, status, perf_counter() - start)

    def _warn_forwarded(self, _value: bytes, _max_body: int) -> None:
        """Warn once: X-Forwarded-For is present but TRUSTED_PROXIES is empty, so all clients share one address and one rate limit."""
        if self.checks is not _CHECKS:  # one request may have the header twice
            log.warning(
                "forwarded_for_ignored",
                hint="all callers behind the proxy share one address and rate limit; add it to LICENTIA_TRUSTED_PROXIES",
            )
        self.checks = _CHECKS

    def _log(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        metrics.observe(scope["method"], route, status, seconds)
        if route not in _QUIET:
            client = scope.get("client")
            line = {
                "method": scope["method"],
                "path": describe_path(scope),
                "status": status,
                "ms": round(seconds * 1000, 2),
                "client": client[0] if client else None,
                "request_id": request_id,
            }
            if "fastapi.telemetry" in scope:
                line["trace_id"] = format(trace.get_current_span().get_span_context().trace_id, "032x")
            self.write(line)


def is_probe(scope: Scope) -> bool:
    """Whether the request comes from a health check or a scraper; such requests are neither logged nor traced."""
    return scope.get("path") in _QUIET


class Body:
    """The incoming body, limited in size and in time."""

    def __init__(self, edge: EdgeMiddleware, receive: Receive) -> None:
        self.edge = edge
        self.inner = receive
        self.body_bytes = 0
        self.complete = False
        self.deadline: float | None = None

    async def receive(self) -> Message:
        """The next part. Raises BodyTooLarge, BodyTooSlow, and Busy if too many bodies are in memory."""
        if self.complete:
            return await self.inner()
        if self.deadline is None:
            self.deadline = asyncio.get_running_loop().time() + self.edge.body_timeout
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self.inner()
        except TimeoutError:
            raise BodyTooSlow from None
        self.complete = not message.get("more_body", False)
        self._count(len(message.get("body", b"")))
        return message

    def _count(self, size: int) -> None:
        self.body_bytes += size
        self.edge.body_bytes += size
        if self.body_bytes > self.edge.max_body:
            raise BodyTooLarge
        if self.edge.body_bytes > BODIES * self.edge.max_body:
            raise Busy


def describe_path(scope: Scope) -> str:
    """The path for the log: the template of the route, with its ids filled in. Other text of the caller may be a secret."""
    route = scope.get("route")
    if route is None:
        return UNMATCHED
    path = str(route.path)
    for name, value in scope.get("path_params", {}).items():
        if _ID.fullmatch(str(value)):
            path = path.replace(f"{{{name}}}", str(value))
    return path


def _read_headers(scope: Scope, max_body: int, checks: Mapping[bytes, HeaderCheck]) -> RequestHeaders:
    """Read the headers. A body that can be plain JSON is labelled as JSON; this is safe, because nothing here uses cookies."""
    sent: bytes | None = None
    refused: Problem | None = None
    others, body = [], False
    for header in scope["headers"]:
        name, value = header
        body = body or name in _BODY
        if name == b"x-request-id" and sent is None:
            sent = value
        elif name in checks and refused is None:
            refused = checks[name](value, max_body)
        if name != b"content-type":
            others.append(header)
    if refused is None:
        scope["headers"] = [*others, _JSON]
    return RequestHeaders(_safe_id(sent), refused, body)


def _safe_id(sent: bytes | None) -> str | None:
    if not sent:
        return None
    text = sent.decode("latin-1")
    if _IDENTIFIER.fullmatch(text) or (_SAFE_ID.fullmatch(text) and mask(text) == text):  # it is logged as it is
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


_CHECKS: dict[bytes, HeaderCheck] = {b"content-encoding": _encoding, b"content-type": _type, b"content-length": _length}


def _with_defaults(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    headers = list(headers)
    names = {name for name, _ in headers}
    headers += [header for header in _DEFAULT_HEADERS if header[0] not in names]
    headers.append((b"x-request-id", request_id.encode("latin-1")))
    return headers
