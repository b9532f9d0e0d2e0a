"""The outermost ASGI layer: one pass in and out. Bodies become JSON whatever their label, every answer is counted, logged
and not cached unless it says so, and an exception nobody foresaw becomes a 500 problem."""

import re
from time import perf_counter
from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.base.logs import MASK, access_line, masked
from app.base.problems import Problem
from app.base.settings import Settings
from app.web import metrics
from app.web.errors import render, unexpected
from app.web.problems import BodyTooLarge, UnsupportedEncoding

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_PLAIN = re.compile(r"[a-z0-9._-]{1,64}")
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_UTF_8 = {b"utf-8", b"utf8", b"us-ascii"}
_QUIET = ("/healthz", "/readyz", "/metrics")


def with_request_ids(app: ASGIApp, fresh: Any) -> ASGIApp:
    """Give every request an id: the caller's `X-Request-Id` if sane, else a fresh one."""
    return CorrelationIdMiddleware(
        app, header_name="X-Request-Id", generator=fresh, validator=lambda text: _SANE_ID.fullmatch(text) is not None
    )


class Door:
    """A body larger than the setting is refused before it is read (or, without Content-Length, while it is)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.max_body = settings.max_body
        self.write = access_line(settings)

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
            if (refused := _refused(scope, self.max_body)) is not None:
                await render(refused)(scope, receive, leave)
            else:
                await self.app(scope, self._counted(receive), leave)
        except Exception as error:  # noqa: BLE001  the last line of defence: a 500 that says nothing
            await unexpected(error)(scope, receive, leave)
        finally:
            self._note(scope, status, perf_counter() - start)

    def _counted(self, receive: Receive) -> Receive:
        """`receive` with an end. FastAPI's own limit answers in plain text, and turns any other exception into its 400."""
        total = 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self.max_body:
                raise HTTPException(413)
            return message

        return counted

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        metrics.observe(scope["method"], route, status, seconds)
        if route not in _QUIET:
            client = scope.get("client")
            line = {
                "method": scope["method"],
                "path": told(scope["path"]),
                "status": status,
                "ms": round(seconds * 1000, 2),
                "client": client[0] if client else None,
                "request_id": correlation_id.get(),
            }
            self.write(line)


def told(path: str) -> str:
    """The path for the log: ids, slugs and words stay; anything else may be a secret that somebody pasted in."""
    parts = path[:1024].split("/")
    return str(masked("/".join(part if not part or _PLAIN.fullmatch(part) else MASK for part in parts)))[:256]


def _refused(scope: Scope, max_body: int) -> Problem | None:
    """Why the body cannot be read as plain JSON. If it can, it is labelled so (no cookies anywhere, so this is safe)."""
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            return UnsupportedEncoding()
        if name == b"content-type" and (charset := _CHARSET.search(value)) and charset.group(1).lower() not in _UTF_8:
            return UnsupportedEncoding()
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > max_body):
            return BodyTooLarge()
    kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    scope["headers"] = [*kept, (b"content-type", b"application/json")]
    return None
