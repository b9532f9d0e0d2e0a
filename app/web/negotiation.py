"""Chooses the form of a response (RFC 9110 section 12.5.1), and compares entity tags (section 13.1.2)."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Depends, Header

from app.web.problems import NotAcceptable

MAX_RANGES = 32
_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+')
_MEDIA = re.compile(r'\*/\*|[^\s*/"]+/(?:\*|[^\s*/"]+)')
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def choose_form(accept: str | None, forms: Sequence[str]) -> str:
    """Return the form (`type/subtype`, lower case) with the most weight, the earlier one of equals. Raises NotAcceptable.

    A header that is absent, empty or unreadable accepts the first form.
    """
    weights = _read_weights(accept or "")
    best = max(forms, key=lambda form: _weigh(form, weights))
    if weights and _weigh(best, weights) == 0:
        raise NotAcceptable(facts={"available": list(forms)})
    return best


def _weigh(form: str, weights: Mapping[str, float]) -> float:
    """Return the weight of the most specific range that matches; 0 if none does."""
    ranges = (f"{form};charset=utf-8", form, f"{form.partition('/')[0]}/*", "*/*")
    return next((weights[each] for each in ranges if each in weights), 0.0)


def _read_weights(header: str) -> dict[str, float]:
    """Return the weight of each readable range. A range with other parameters than the charset stays, but matches no form."""
    weights: dict[str, float] = {}
    for item in _ITEM.findall(header)[:MAX_RANGES]:
        media, *parameters = (part.strip().lower().replace('"', "") for part in item.split(";"))
        weight = next((part for part in parameters if part.startswith("q=")), "q=1")
        if _MEDIA.fullmatch(media) and _WEIGHT.fullmatch(weight):
            key = ";".join([media, *(part for part in parameters if part and part != weight)])
            weights[key] = max(float(weight[2:]), weights.get(key, 0.0))
    return weights


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Return whether the caller already has this response. Weak comparison (RFC 9110 section 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return bool(tags & {"*", etag})


def _accept(accept: Annotated[list[str] | None, Header(include_in_schema=False)] = None) -> str | None:
    """Join all `Accept` headers (RFC 9110 section 5.3). OpenAPI shows the media types of the responses instead."""
    return None if accept is None else ", ".join(accept)


Accept = Annotated[str | None, Depends(_accept)]
