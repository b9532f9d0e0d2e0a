"""Reads JSON bodies strictly: UTF-8, each name once in an object, a bounded number of names, finite numbers."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from fastapi import Request

from app.base.problems import Malformed

MAX_NAMES = 256
"""Names in one object; the largest object that a call accepts has a hundred."""
MAX_TOTAL_NAMES = 50_000
"""Names in one body. Each name or value can be one validation error, and wording an error takes some microseconds."""
_SMALL = 4 * MAX_TOTAL_NAMES
"""Bytes of a body that cannot have too many names: a name takes at least four, as in `"":1`."""


class StrictRequest(Request):
    """A request whose `json()` is strict. FastAPI reads bodies through it (its documentation: "Custom Request and APIRoute class")."""

    async def json(self) -> Any:
        """The body as JSON, parsed once. Raises Malformed."""
        if not hasattr(self, "parsed"):
            self.parsed = parse_json(await self.body())
        return self.parsed


def parse_json(body: bytes) -> Any:
    """The value of a body that is not empty. Raises Malformed."""
    decoder = _DECODER if len(body) < _SMALL else _decoder(_NameCounter())
    try:
        return decoder.decode(body.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise Malformed([("", "json_invalid", "must be valid JSON")]) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, a number of thousands of digits, nested too deep
        raise Malformed([("", "json_invalid", "must be valid JSON in UTF-8")]) from error


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object. A name that occurs twice is refused, because readers disagree which value counts (RFC 8259 section 4)."""
    if len(pairs) > MAX_NAMES:
        raise Malformed([("", "too_many_names", f"must not have an object with more than {MAX_NAMES} names")])
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed([("", "duplicate_name", "must not have an object with the same name twice")])
    return value


class _NameCounter:
    """Builds the objects of one large body and counts their names."""

    def __init__(self) -> None:
        self.total = 0

    def __call__(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        value = _object(pairs)
        self.total += len(pairs)
        if self.total > MAX_TOTAL_NAMES:
            raise Malformed([("", "too_many_names", f"must have at most {MAX_TOTAL_NAMES} names in total")])
        return value


def _refuse_constant(_name: str) -> NoReturn:
    """NaN and Infinity are no JSON (RFC 8259 section 6)."""
    raise Malformed([("", "json_invalid", "must be valid JSON")])


def _decoder(make_object: Any) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=make_object, parse_constant=_refuse_constant)


_DECODER = _decoder(_object)
