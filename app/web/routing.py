"""The route class of every room: strict query strings, `Idempotency-Key` on any POST, one-line JSON with a line end."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from opentelemetry import trace
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from app.base.problems import MAX_ERRORS, Malformed, Problem
from app.web import fast_route, idempotency
from app.web.errors import STATUS

VERDICT: dict[str, Any] = {"x-verdict": True}
"""`openapi_extra` of a call that answers with a verdict: it is judged anew each time, so `Idempotency-Key` is not for it."""
NOT_REPLAYED: dict[str, Any] = {"x-anew": True}
"""`openapi_extra` of a call whose answer is long and personal: it is made anew each time and never kept for a retry."""
_UTF_16 = {b"\xff\xfe", b"\xfe\xff"}


class Route(APIRoute):
    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        if fast_route.is_simple(self):
            self.app = _app(self.get_route_handler())

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        answer = (
            fast_route.handler(self)
            if fast_route.is_simple(self)
            else _ended(super().get_route_handler(), reads=bool(self.dependant.body_params))
        )
        known = frozenset(_query_names(self.dependant))
        repeatable = "POST" in (self.methods or ()) and not {"x-verdict", "x-anew"} & set(self.openapi_extra or {})

        async def checked(request: Request) -> Response:
            if request.scope["query_string"] and (unknown := [name for name in request.query_params if name not in known]):
                raise Malformed([_unknown(name) for name in unknown[: MAX_ERRORS + 1]])
            if (body := await request.body()) and (body[:2] in _UTF_16 or b"\0" in body[:4]):
                raise Malformed([("", "json_invalid", "is not JSON in UTF-8")])
            return await answer(request)

        async def handle(request: Request) -> Response:
            if repeatable and idempotency.HEADER in request.headers:
                return await idempotency.answer_once(request, checked)
            return await checked(request)

        return handle


class StaticRoutes(BaseRoute):
    """The way to the routes whose path has no parameter: by name, instead of trying one pattern after another.

    They stay in the table behind it, for the API docs, and for the refusal of a wrong method.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self.known: dict[str, list[BaseRoute]] = {}
        for route in routes:
            if isinstance(route, APIRoute) and not route.param_convertors:
                self.known.setdefault(route.path, []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        for route in self.known.get(scope.get("path", ""), ()):
            match, found = route.matches(scope)
            if match is Match.FULL:
                return match, found
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "fastapi.telemetry" in scope:  # it looks for the template at what the table chose, which is this signpost
            name_span(scope, scope["route"].path)
        await scope["route"].handle(scope, receive, send)


def name_span(scope: Scope, template: str) -> None:
    """Name the request's span by the template of its route."""
    span = trace.get_current_span()
    span.set_attribute("http.route", template)
    span.update_name(f"{scope['method']} {template}")


def _app(answer: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """FastAPI's own has exit stacks for dependencies that we do not have; exceptions find their handlers one layer further out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (await answer(Request(scope, receive)))(scope, receive, send)

    return app


def _unknown(name: str) -> tuple[str, str, str]:
    return "query:" + name[:32] * name.isidentifier(), "extra_forbidden", "is not a parameter of this call"


def _ended(answer: Callable[[Request], Awaitable[Response]], *, reads: bool) -> Callable[[Request], Awaitable[Response]]:
    """FastAPI's own way, for a body (`reads`) that is read as strictly as everywhere, and JSON with a line end."""

    async def ended(request: Request) -> Response:
        if reads and (body := await request.body()):
            request._json = fast_route.parse_json(body)  # noqa: SLF001  where Starlette keeps what it has read, and FastAPI looks for it
        response = await answer(request)
        if response.media_type == "application/json" and response.body:
            response.body = bytes(response.body) + b"\n"
            response.headers["content-length"] = str(len(response.body))
        return response

    return ended


def _query_names(dependant: Any) -> set[str]:
    names = {name for field in dependant.query_params for name in _field_names(field)}
    return names.union(*(_query_names(inner) for inner in dependant.dependencies))


def _field_names(field: Any) -> set[str]:
    nested = getattr(field.field_info.annotation, "model_fields", None)
    return set(nested) if nested is not None else {field.alias}


def router(tag: str) -> APIRouter:
    """A router for one room. `tag` groups its calls in the API docs."""
    return APIRouter(route_class=Route, tags=[tag])


def refuses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` for the refusals of a route, by status, each with its codes."""
    told: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        entry = told.setdefault(STATUS[problem.kind], {"description": "", "codes": []})
        entry["codes"].append(f"`{problem.code}`")
    return {status: {"description": " · ".join(entry["codes"])} for status, entry in told.items()}
