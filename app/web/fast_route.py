"""A lean way through FastAPI for what our routes are made of: coroutine dependencies, one JSON body, one Shape out.

FastAPI still reads the signatures, validates each value and words each fault; what is left out is what no route of ours uses
(generators, forms, threads, overrides, streams). A route that is made of anything else is refused here and goes FastAPI's way.
"""

import inspect
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi._compat import ModelField
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, serialize_response
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

JSON = "application/json"
_UNUSED = (
    "header_params",
    "cookie_params",
    "websocket_param_name",
    "http_connection_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
    "own_oauth_scopes",
    "parent_oauth_scopes",
    "concurrency",
)
_OPTIONS = ("include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none")
MAX_NAMES = 256
"""Of one object in a body; the largest that a call takes has a hundred."""
MAX_ERRORS = 20_000
"""Of one body; a thousand imports with every field wrong have fewer."""
Values = dict[str, Any]


class RequestSolver:
    """What one request has settled so far: each dependency once, and every fault of its input."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.settled: dict[Any, Any] = {}
        self.faults: list[Any] = []
        self.response: Response | None = None

    def draft(self) -> Response:
        """Where the endpoint may leave a status and headers for its answer."""
        if self.response is None:
            self.response = Response()
            del self.response.headers["content-length"]
            self.response.status_code = None  # type: ignore[assignment]  # FastAPI's own word for "not said"
        return self.response

    async def values(self, dependant: Dependant) -> Values:
        """The arguments of its call; worth nothing if faults were added meanwhile."""
        values: Values = {}
        for inner in dependant.dependencies:
            if (inner.call in self.settled or await self._settle(inner)) and inner.name is not None:
                values[inner.name] = self.settled[inner.call]
        if dependant.path_params:
            self._read(values, request_params_to_args(dependant.path_params, self.request.path_params))
        if dependant.query_params:
            self._read(values, request_params_to_args(dependant.query_params, self.request.query_params))
        if dependant.request_param_name:
            values[dependant.request_param_name] = self.request
        if dependant.response_param_name:
            values[dependant.response_param_name] = self.draft()
        return values

    async def _settle(self, dependant: Dependant) -> bool:
        """Call a dependency, unless its own input has faults."""
        known = len(self.faults)
        given = await self.values(dependant)
        if len(self.faults) > known:
            return False
        self.settled[dependant.call] = await dependant.call(**given)  # type: ignore[misc]  # `plain` saw that it is a coroutine
        return True

    async def body(self, values: Values, field: ModelField, sent: Any) -> None:
        """Add the body, which is one object."""
        if sent is PydanticUndefined:
            self._read(values, await request_body_to_args([field], sent, embed_body_fields=False))
        else:
            values[field.name], faults = _validated(field, sent)
            self.faults += faults

    def _read(self, values: Values, found: tuple[Values, list[Any]]) -> None:
        values.update(found[0])
        self.faults += found[1]


def is_simple(route: APIRoute) -> bool:
    """Whether the route is made of nothing but what is known here."""
    shaped = route.response_field is not None and route.stream_item_field is None and isinstance(route.response_class, DefaultPlaceholder)
    shaped = shaped and not any(getattr(route, f"response_model_{option}") for option in _OPTIONS)
    whole = len(route.dependant.body_params) <= 1 and not route._embed_body_fields  # noqa: SLF001  FastAPI knows whether the body is one object
    return shaped and whole and _plain(route.dependant, outermost=True)


def _plain(dependant: Dependant, *, outermost: bool = False) -> bool:
    call = dependant.call
    coroutine = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004  an object that is called, such as Operates
    bare = dependant.use_cache and not any(getattr(dependant, name) for name in _UNUSED)
    return coroutine and bare and (outermost or not dependant.body_params) and all(_plain(inner) for inner in dependant.dependencies)


def handler(route: APIRoute) -> Callable[[Request], Awaitable[Response]]:
    """The route's answer to a request whose body is labelled as JSON (`web/door.py` does that), in FastAPI's order: JSON, then
    callers and other dependencies, then the faults of path, query and body together."""
    dependant, endpoint, shape = route.dependant, route.endpoint, route.response_model
    shaped = isinstance(shape, type) and issubclass(shape, BaseModel)

    async def answer(request: Request) -> Response:
        solving = RequestSolver(request)
        sent = parse_json(await request.body()) if dependant.body_params else None
        values = await solving.values(dependant)
        if dependant.body_params:
            await solving.body(values, dependant.body_params[0], sent)
        if solving.faults:
            raise RequestValidationError(solving.faults)
        told = await endpoint(**values)
        if isinstance(told, Response):
            return told
        if shaped and type(told) is shape:  # it was validated when it was made
            content = told.__pydantic_serializer__.to_json(told, by_alias=True)
        else:
            content = await serialize_response(field=route.response_field, response_content=told, dump_json=True)
        return _response(route, content, solving.response)

    return answer


def parse_json(body: bytes) -> Any:
    """The JSON of a body, whose objects have each name once and not too many of them. Raises RequestValidationError, HTTPException."""
    if not body:
        return PydanticUndefined
    try:
        return json.loads(body, object_pairs_hook=_once)
    except RequestValidationError:
        raise
    except json.JSONDecodeError as wrong:
        fault = {"type": "json_invalid", "loc": ("body", wrong.pos), "msg": "", "input": {}, "ctx": {"error": wrong.msg}}
        raise RequestValidationError([fault]) from wrong
    except Exception as wrong:  # not UTF-8, or nested beyond reason
        raise HTTPException(400) from wrong


def _validated(field: ModelField, sent: Any) -> tuple[Any, list[Any]]:
    """FastAPI's `field.validate`, but pydantic is not asked to word more errors than anybody's honest body has: each costs 3 µs."""
    try:
        return field._type_adapter.validate_python(sent, from_attributes=True), []  # noqa: SLF001  see above
    except ValidationError as wrong:
        if wrong.error_count() > MAX_ERRORS:
            return None, [{"type": "too_many_errors", "loc": ("body",), "msg": "", "ctx": {"most": MAX_ERRORS}}]
        return None, [{**fault, "loc": ("body", *fault["loc"])} for fault in wrong.errors(include_url=False, include_input=False)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are each there once: of two, readers take the first or the last, and nobody knows which was meant
    (RFC 8259 section 4). One of too many names is refused before each of them is found to be unknown."""
    if len(pairs) > MAX_NAMES:
        raise RequestValidationError([{"type": "too_many_names", "loc": ("body",), "msg": "", "input": {}, "ctx": {"most": MAX_NAMES}}])
    told = dict(pairs)
    if len(told) != len(pairs):
        raise RequestValidationError([{"type": "duplicate_name", "loc": ("body",), "msg": "has a name twice in an object", "input": {}}])
    return told


def _response(route: APIRoute, content: bytes, draft: Response | None) -> Response:
    response = Response(content + b"\n", route.status_code or 200, media_type=JSON)
    if draft is not None:
        response.status_code = draft.status_code or response.status_code
        response.raw_headers += draft.raw_headers
    return response
