"""Turns problems into HTTP responses: RFC 9457 problem+json, WWW-Authenticate, Retry-After. The input is never repeated."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from app.base.problems import MAX_ERRORS, Busy, Kind, Malformed, Problem, Unavailable
from app.db import dialect
from app.observability.logs import current_request_id
from app.web.problems import InternalError, MethodNotAllowed, RouteNotFound

log = structlog.get_logger("licentia.errors")

STATUS: Mapping[Kind, int] = {
    Kind.NOT_HTTP: 400,
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.METHOD_NOT_ALLOWED: 405,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.TOO_SLOW: 408,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED_MEDIA: 415,
    Kind.THROTTLED: 429,
    Kind.HEAD_TOO_LARGE: 431,
    Kind.BROKEN: 500,
    Kind.UNAVAILABLE: 503,
}
PROBLEM_JSON = "application/problem+json"
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}|[0-9]{1,5}|header:idempotency-key", re.ASCII)

_SENTENCES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "string_unicode": "must be valid Unicode",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "bool_type": "must be true or false",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "uuid_type": "must be a UUID, such as 0198c7e2-5b1f-7c3a-9d4e-2f6a8b0c1d2e",
    "uuid_parsing": "must be a UUID, such as 0198c7e2-5b1f-7c3a-9d4e-2f6a8b0c1d2e",
    "json_invalid": "must be valid JSON",
}


def problem_response(problem: Problem) -> Response:
    """The problem as `application/problem+json`, one line, with the request's id."""
    status = STATUS[problem.kind]
    body = {
        "type": f"/problems/{problem.code}",
        "title": problem.title,
        "status": status,
        "code": problem.code,
        "detail": problem.detail,
        "request_id": current_request_id.get(),
        **problem.facts,
    }
    return Response(json.dumps(body, ensure_ascii=False) + "\n", status, _headers(problem), PROBLEM_JSON)


def _headers(problem: Problem) -> dict[str, str]:
    headers: dict[str, str] = {}
    if problem.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = _challenge(problem)
    if problem.kind is Kind.TOO_SLOW:
        headers["Connection"] = "close"  # RFC 9110 section 15.5.9
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return headers


def _challenge(problem: Problem) -> str:
    """The WWW-Authenticate header: RFC 6750 section 3, and RFC 9470 section 3 where a newer or stronger login is required."""
    if "acr_values" in problem.facts:
        parameters = ", ".join(f'{name}="{problem.facts[name]}"' for name in ("acr_values", "max_age") if name in problem.facts)
        return f'Bearer error="insufficient_user_authentication", {parameters}'
    return 'Bearer error="invalid_token"' if problem.code == "token_invalid" else "Bearer"


def malformed(faults: Sequence[Mapping[str, Any]]) -> Malformed:
    """Pydantic's errors as a problem: pointer, code and our own sentence. Neither the input nor pydantic's messages are repeated."""
    return Malformed([_fault(fault) for fault in faults[: MAX_ERRORS + 1]])


def _fault(fault: Mapping[str, Any]) -> tuple[str, str, str]:
    code, place = str(fault["type"]), fault["loc"]
    if code == "json_invalid":
        place = place[:1]
    context = fault.get("ctx", {})
    if code == "value_error" and isinstance(context.get("error"), ValueError):
        return _pointer(place), "invalid", str(context["error"])
    return _pointer(place), code, _SENTENCES.get(code, "is not valid").format_map(context)


def _pointer(place: Sequence[str | int]) -> str:
    parts = [str(part) if _FIELD_NAME.fullmatch(str(part)) else "?" for part in place]
    if parts[:1] == ["body"]:
        return "".join(f"/{part}" for part in parts[1:])
    return ":".join(parts[:2])


async def _handle_problem(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem_response(problem)


async def _handle_invalid_request(_request: Request, invalid: Exception) -> Response:
    assert isinstance(invalid, RequestValidationError)
    return problem_response(malformed(invalid.errors()))


async def _handle_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        response = problem_response(MethodNotAllowed())
        response.headers.update(error.headers or {})
        return response
    if error.status_code == 404:
        return problem_response(RouteNotFound())
    if error.status_code == 400:
        return problem_response(Malformed([("", "json_invalid", "must be valid JSON in UTF-8")]))
    return problem_response(InternalError())


async def _handle_pool_timeout(_request: Request, _error: Exception) -> Response:
    return problem_response(Busy())


async def _handle_database_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    if dialect.is_busy(error):
        log.warning("database_busy", cause=type(error.orig).__name__)
        return problem_response(Busy())
    if dialect.is_unavailable(error):
        log.warning("database_away", cause=type(error.orig).__name__)
        return problem_response(Unavailable())
    if dialect.is_damaged(error):
        log.error("database_damaged", cause=str(error.orig), advice="stop the service and restore the latest backup")
        return problem_response(Unavailable())
    return log_unexpected(error)


async def _handle_os_error(_request: Request, error: Exception) -> Response:
    log.warning("database_unreachable", cause=type(error).__name__)
    return problem_response(Unavailable())


def log_unexpected(error: Exception) -> Response:
    """Log an unexpected exception with its traceback; the 500 response says nothing about it."""
    log.error("unexpected", exc_info=error)
    return problem_response(InternalError())


def add_error_handlers(app: FastAPI) -> None:
    """Install the handlers that turn every error into a problem response."""
    app.add_exception_handler(Problem, _handle_problem)
    app.add_exception_handler(RequestValidationError, _handle_invalid_request)
    app.add_exception_handler(HTTPException, _handle_http_error)
    app.add_exception_handler(PoolTimeout, _handle_pool_timeout)
    app.add_exception_handler(DBAPIError, _handle_database_error)
    app.add_exception_handler(OSError, _handle_os_error)
