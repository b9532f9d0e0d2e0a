"""The outermost ASGI layer: one pass in and out. Bodies become JSON whatever their label, every answer is counted, logged
and not cached unless it says so, and an exception nobody foresaw becomes a 500 problem."""

import json
import re
import sys
from time import perf_counter
from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web import metrics
from app.web.errors import render, unexpected
from app.web.problems import UnsupportedEncoding

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_QUIET = ("/healthz", "/readyz", "/metrics")


def with_request_ids(app: ASGIApp, fresh: Any) -> ASGIApp:
    """Give every request an id: the caller's `X-Request-Id` if sane, else a fresh one."""
    return CorrelationIdMiddleware(
        app, header_name="X-Request-Id", generator=fresh, validator=lambda text: _SANE_ID.fullmatch(text) is not None
    )


class Door:
    def __init__(self, app: ASGIApp, access_log: bool = True) -> None:
        self.app = app
        self.access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 500

        async def leave(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers.setdefault("cache-control", "no-store")
                headers.setdefault("x-content-type-options", "nosniff")
            await send(message)

        try:
            if _labelled_json(scope):
                await self.app(scope, receive, leave)
            else:
                await render(UnsupportedEncoding())(scope, receive, leave)
        except Exception as error:  # noqa: BLE001  the last line of defence: a 500 that says nothing
            await unexpected(error)(scope, receive, leave)
        finally:
            self._note(scope, status, perf_counter() - start)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        metrics.observe(scope["method"], route, status, seconds)
        if self.access_log and route not in _QUIET:
            client = scope.get("client")
            line = {
                "event": "request",
                "method": scope["method"],
                "path": scope["path"][:256],
                "status": status,
                "ms": round(seconds * 1000, 2),
                "client": client[0] if client else None,
                "request_id": correlation_id.get(),
            }
            sys.stdout.write(json.dumps(line) + "\n")


def _labelled_json(scope: Scope) -> bool:
    """Whether the body may be read as plain JSON; if so, label it as JSON (no cookies anywhere, so this is safe)."""
    kept: list[tuple[bytes, bytes]] = []
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            return False
        if name == b"content-type":
            charset = _CHARSET.search(value)
            if charset and charset.group(1).lower() not in {b"utf-8", b"utf8", b"us-ascii"}:
                return False
            continue
        kept.append((name, value))
    kept.append((b"content-type", b"application/json"))
    scope["headers"] = kept
    return True
