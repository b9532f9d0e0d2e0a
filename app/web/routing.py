"""The route class of every package: strict query strings and JSON bodies, `Idempotency-Key` on any POST, JSON with a final line feed."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from opentelemetry import trace
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from app.base.problems import MAX_ERRORS, Malformed, Problem
from app.web.errors import STATUS
from app.web.pipeline import fast_route, idempotency
from app.web.pipeline.bodies import StrictRequest
from app.web.signatures import query_names

VERDICT: dict[str, Any] = {"x-verdict": True}
"""`openapi_extra` of a call that returns a verdict: it is computed for each request, so `Idempotency-Key` does not apply."""
NOT_REPLAYED: dict[str, Any] = {"x-not-replayed": True}
"""`openapi_extra` of a call whose response is long and personal: it is never stored for a retry."""

Handler = Callable[[Request], Awaitable[Response]]


class Route(APIRoute):
    """The route class of every package; see the module docstring."""

    def get_route_handler(self) -> Handler:  # type: ignore[override]  # FastAPI says Coroutine where any awaitable does
        handler = fast_route.make_handler(self.endpoint, self.response_model) if fast_route.is_hot(self.endpoint) else self._stock_handler()
        names = query_names(self.endpoint)
        replayed = "POST" in (self.methods or ()) and not {*VERDICT, *NOT_REPLAYED} & set(self.openapi_extra or {})

        async def handle(received: Request) -> Response:
            request = StrictRequest(received.scope, received.receive)
            if request.scope["query_string"]:
                _check_query(request, names)
            if replayed and idempotency.HEADER in request.headers:
                return await idempotency.answer_once(request, handler)
            return await handler(request)

        return handle

    def _stock_handler(self) -> Handler:
        """FastAPI's own handler, for a StrictRequest, with a line feed after JSON."""
        handler, has_body = super().get_route_handler(), self.body_field is not None

        async def handle(request: Request) -> Response:
            if has_body and await request.body():
                await request.json()  # here, because FastAPI would turn the parser's own errors into a 400
            response = await handler(request)
            if response.media_type == "application/json" and not isinstance(response, StreamingResponse) and response.body:
                response.body = bytes(response.body) + b"\n"
                response.headers["content-length"] = str(len(response.body))
            return response

        return handle


def _check_query(request: Request, names: set[str]) -> None:
    """Raises Malformed for query parameters that the call does not have."""
    unknown = [name for name in request.query_params if name not in names]
    if unknown:
        raise Malformed([_unknown_parameter(name) for name in unknown[: MAX_ERRORS + 1]])


def _unknown_parameter(name: str) -> tuple[str, str, str]:
    return "query:" + (name[:32] if name.isidentifier() else ""), "extra_forbidden", "is not a parameter of this call"


class StaticRoutes(BaseRoute):
    """Routes without path parameters, looked up in a dict instead of matched one by one.

    They also stay in the list of routes behind it, for the API documentation and for the 405 of a wrong method.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self.routes: dict[str, list[BaseRoute]] = {}
        for route in routes:
            if isinstance(route, APIRoute) and not route.param_convertors:
                self.routes.setdefault(route.path, []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        for route in self.routes.get(scope.get("path", ""), ()):
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                return match, child_scope
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "fastapi.telemetry" in scope:  # FastAPI would take the template from this object, which has none
            name_span(scope, scope["route"].path)
        await scope["route"].handle(scope, receive, send)


def name_span(scope: Scope, template: str) -> None:
    """Name the request's span by the template of its route."""
    span = trace.get_current_span()
    span.set_attribute("http.route", template)
    span.update_name(f"{scope['method']} {template}")


def router(tag: str) -> APIRouter:
    """A router for one package. `tag` groups its calls in the API documentation."""
    return APIRouter(route_class=Route, tags=[tag])


def refuses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` for the problems that a route returns, by status, each with its codes."""
    responses: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        response = responses.setdefault(STATUS[problem.kind], {"description": "", "codes": []})
        response["codes"].append(f"`{problem.code}`")
    return {status: {"description": " · ".join(response["codes"])} for status, response in responses.items()}
