"""The OpenAPI document: FastAPI's own, with our problems instead of its 422 and with security schemes by caller."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from app.base.problems import MAX_ERRORS
from app.web.callers import SECURITY, RequireScope

_SCHEMES: dict[str, Any] = {
    "operator": {"type": "http", "scheme": "bearer", "description": "An operator key: `Authorization: Bearer op_…`"},
    "end_user": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An end user's access token: `Authorization: Bearer eyJ…`",
    },
    "activation": {"type": "http", "scheme": "bearer", "description": "The activation token of a seat: `Authorization: Bearer act_…`"},
    "login": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The handle of a pending login: `Authorization: Login lgn_…`",
    },
}

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457). Decide by `code`; further members depend on it. Quote `request_id` in error reports.",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "description": "The first errors of an invalid request. `pointer`: the field (JSON Pointer or `query:name`). "
            "`detail`: what is expected.",
            "maxItems": MAX_ERRORS,
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("pointer", "code", "detail")},
            },
        },
    },
}
_COMMON = {
    "422": "`malformed` · `idempotency_key_reused`",
    "500": "`internal_error`",
    "503": "`busy` · `unavailable` · `outcome_unknown`",
}
_WITH_BODY = {"408": "`body_too_slow`", "413": "`body_too_large`", "415": "`unsupported_encoding`"}
_WITH_CALLER = {"401": "`unauthenticated` · `token_invalid`"}
_ONLY = {"operator": {"403": "`operator_key_required`"}, "activation": {"403": "`activation_token_required`"}}
_REPEATED = {"409": "`idempotency_in_progress`"}


def document(app: FastAPI) -> dict[str, Any]:
    """Build the OpenAPI 3.1 document once, and return it."""
    if app.openapi_schema is None:
        document_ = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags)
        schemas = document_.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = _PROBLEM
        document_["components"]["securitySchemes"] = _SCHEMES
        for context in iter_route_contexts(app.routes):
            route = context.original_route
            if isinstance(route, APIRoute) and route.include_in_schema:
                for method in route.methods or ():
                    _complete(document_["paths"][route.path_format][method.lower()], route, method)
        app.openapi_schema = document_
    return app.openapi_schema


def _complete(operation: dict[str, Any], route: APIRoute, method: str) -> None:
    responses = operation["responses"]
    callers = _callers(route.dependant)
    only = _ONLY.get(callers[0], {}) if len(callers) == 1 else {}
    common = {**_COMMON, **(_WITH_BODY if route.body_field else {}), **(_WITH_CALLER if callers else {}), **only}
    common |= _REPEATED if method == "POST" else {}
    for status, text in common.items():
        description = responses.get(status, {}).get("description", "")
        if status == "422" and "schema" in str(responses.get(status, "")):
            description = ""
        responses[status] = {"description": " · ".join(filter(None, [text, description])), **_own_content(responses.get(status))}
    for status, response in responses.items():
        if status >= "400" and "content" not in response:
            response["content"] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if callers:
        operation["security"] = [{name: []} if name else {} for name in callers]


def _own_content(response: dict[str, Any] | None) -> dict[str, Any]:
    """The documented body of a route (such as the 503 of /readyz), without FastAPI's validation error."""
    content = (response or {}).get("content", {})
    return {"content": content} if content and "HTTPValidationError" not in str(content) else {}


def _callers(dependant: Any) -> list[str]:
    call = dependant.call
    if isinstance(call, RequireScope):
        return ["operator"]
    if call in SECURITY:
        return list(SECURITY[call])
    return [name for inner in dependant.dependencies for name in _callers(inner)]
