"""Which form of an answer the caller wants (RFC 9110 section 12.5.1), and whether it is one that the caller has already (13.1.2)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header

from app.web.problems import NotAcceptable

MAX_RANGES = 32
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ITEM = re.compile(rf'(?:{_QUOTED}|[^,"])+')
_RANGE = re.compile(rf"({_WORD})/({_WORD})((?:[ \t]*;[ \t]*(?:{_WORD}=(?:{_WORD}|{_QUOTED}))?)*)", re.ASCII)
_PARAMETER = re.compile(rf"({_WORD})=({_WORD}|{_QUOTED})", re.ASCII)
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)
_OURS = {"charset": "utf-8"}
"""The one parameter that an answer of ours has; a range with any other speaks of something else."""


@dataclass(frozen=True)
class _Range:
    """A media range: `narrow` rises with what it says, 0 for `*/*`."""

    type: str
    subtype: str
    narrow: int
    weight: float

    def holds(self, form: str) -> bool:
        type_, _, subtype = form.partition("/")
        return self.type in {"*", type_} and self.subtype in {"*", subtype}


def choose_form(accept: str | None, forms: Sequence[str]) -> str:
    """The form (`type/subtype`, lower case) with the most weight, by the narrowest range that holds it; the earlier one of equals.

    A header that is absent, empty or not readable wishes for nothing, and gets the first. Raises NotAcceptable.
    """
    ranges = list(_ranges(accept or ""))
    if not ranges:
        return forms[0]
    weight, place = max((_weight(form, ranges), -place) for place, form in enumerate(forms))
    if weight == 0:
        raise NotAcceptable(facts={"available": list(forms)})
    return forms[-place]


def _weight(form: str, ranges: Sequence[_Range]) -> float:
    holding = [it for it in ranges if it.holds(form)]
    return max(holding, key=lambda it: (it.narrow, it.weight)).weight if holding else 0.0


def _ranges(header: str) -> Iterator[_Range]:
    """The readable ranges; one with a parameter that no answer of ours has is left out, as it holds none."""
    for item in _ITEM.findall(header)[:MAX_RANGES]:
        found = _RANGE.fullmatch(item.strip(" \t"))
        if found is None or (found[1] == "*" != found[2]):
            continue
        given = {name.lower(): value.strip('"').lower() for name, value in _PARAMETER.findall(found[3])}
        weight = given.pop("q", "1")
        if _WEIGHT.fullmatch(weight):
            type_, subtype = found[1].lower(), found[2].lower()
            fits = all(_OURS.get(name) == value for name, value in given.items())
            yield _Range(type_ if fits else "", subtype, (type_ != "*") + (subtype != "*") + len(given), float(weight))


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller has this very form: weak comparison, as RFC 9110 section 13.1.2 wants it here."""
    told = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return bool(told & {"*", etag})


def _accept(accept: Annotated[list[str] | None, Header(include_in_schema=False)] = None) -> str | None:
    """All `Accept` lines as one (RFC 9110 section 5.3). OpenAPI tells of it by the answers' media types."""
    return None if accept is None else ", ".join(accept)


Accept = Annotated[str | None, Depends(_accept)]
