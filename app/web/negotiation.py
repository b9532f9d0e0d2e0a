"""Content negotiation by `Accept` (RFC 9110 section 12.5.1), and `If-None-Match` (section 13.1.2)."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import Depends, Header

from app.web.problems import NotAcceptable

MAX_RANGES = 32
_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+')
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_RANGE = re.compile(rf"({_WORD})/({_WORD})((?:[ \t]*;[ \t]*(?:{_WORD}=(?:{_WORD}|{_QUOTED}))?)*)", re.ASCII)
_PARAMETER = re.compile(rf"({_WORD})=({_WORD}|{_QUOTED})", re.ASCII)
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)


def choose_form(accept: str | None, forms: Sequence[str]) -> str:
    """Return the media type (lower case) with the highest weight; of equals the first.

    The most specific range decides the weight. A header that is absent or unreadable accepts everything. Raises NotAcceptable.
    """
    ranges = list(_read_ranges(accept or ""))
    if not ranges:
        return forms[0]
    weights = [max((rank for name, rank in ranges if name in _names(form)), default=(0, 0.0))[1] for form in forms]
    if not any(weights):
        raise NotAcceptable(facts={"available": list(forms)})
    return forms[weights.index(max(weights))]


def _names(form: str) -> tuple[str, str, str]:
    """The ranges that include a media type."""
    return form, f"{form.partition('/')[0]}/*", "*/*"


def _read_ranges(header: str) -> Iterator[tuple[str, tuple[int, float]]]:
    """Each readable range with its rank: (specificity, weight). A parameter that our responses do not have excludes all of them."""
    for item in _ITEM.findall(header)[:MAX_RANGES]:
        match = _RANGE.fullmatch(item.strip(" \t"))
        if match is None or (match[1] == "*" != match[2]):
            continue
        parameters = {name.lower(): value.strip('"').lower() for name, value in _PARAMETER.findall(match[3])}
        weight = parameters.pop("q", "1")
        if _WEIGHT.fullmatch(weight):
            name = f"{match[1]}/{match[2]}".lower() if parameters in ({}, {"charset": "utf-8"}) else ""
            yield name, (2 - name.count("*") + len(parameters), float(weight))


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this representation already: weak comparison (RFC 9110 section 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return bool(tags & {"*", etag})


def _join_accept(accept: Annotated[list[str] | None, Header(include_in_schema=False)] = None) -> str | None:
    """All `Accept` lines as one (RFC 9110 section 5.3). OpenAPI describes it by the media types of the responses."""
    return None if accept is None else ", ".join(accept)


Accept = Annotated[str | None, Depends(_join_accept)]
