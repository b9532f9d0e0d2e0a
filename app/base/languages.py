"""Which language to serve: RFC 4647 lookup over what the end user wishes for. Pure; never crosses scripts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

MAX_RANGES = 10
MAX_TAG = 35
_RANGE = re.compile(r"([a-z]{1,8}(?:-[a-z0-9]{1,8})*)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?", re.ASCII | re.IGNORECASE)
_TRADITIONAL = {"tw", "hk", "mo"}
_SCRIPT_LETTERS = 4
_OWN_SCRIPT = {
    language: script
    for script, languages in {
        "latn": "cs da de en es et fi fr hr hu id is it lt lv ms nb nl nn pl pt ro sk sl sq sv tr vi",
        "cyrl": "be bg mk ru uk",
        "arab": "ar fa ur",
        "grek": "el",
        "hebr": "he",
        "jpan": "ja",
        "kore": "ko",
        "thai": "th",
        "deva": "hi mr ne",
    }.items()
    for language in languages.split()
}
"""The script that goes without saying (`Suppress-Script` of the IANA language subtag registry), for common languages."""

Fallback = Literal["none", "language", "default"]


@dataclass(frozen=True)
class LanguageChoice:
    """The language served for the one wished for most. `fallback`: `none` it is that one, `language` a broader form of it or
    a later wish, `default` nobody wished for it. `requested` is None when nobody wished for anything."""

    requested: str | None
    served: str
    fallback: Fallback


def choose_language(available: Sequence[str], wishes: Sequence[str], defaults: Sequence[str]) -> LanguageChoice:
    """The language to serve, by RFC 4647 section 3.4 lookup for each wish in turn, then for each default.

    `available` are the tags of the texts; `wishes` as `wishes_of` orders them; `defaults` the product's, then the document's.
    Raises LookupError when not even a default is available, which no published version allows.
    """
    requested = wishes[0] if wishes else None
    for place, wish in enumerate(wishes):
        if (found := _lookup(available, wish)) is not None:
            exact = place == 0 and _canonical(found) == _canonical(wish)
            return LanguageChoice(requested, found, "none" if exact else "language")
    for default in defaults:
        if (found := _lookup(available, default)) is not None:
            return LanguageChoice(requested, found, "default")
    raise LookupError("no text in a default language")


def order_preferences(parameter: str | None, profile: str | None, header: str | None) -> tuple[str, ...]:
    """What the end user wants, best first: the call's own parameter, the profile, then `Accept-Language` by its weights."""
    return tuple(wish for wish in (parameter, profile, *_ranges(header or "")) if wish is not None)


def covers(wanted: Sequence[str], shown: str) -> bool:
    """Whether a text in this language is one in any of those: the same, or a narrower form (`fr-CA` for `fr`); never another script."""
    forms = set(_broader(_canonical(shown)))
    return any(_canonical(tag) in forms for tag in wanted)


def _ranges(header: str) -> list[str]:
    """The tags of at most ten ranges (RFC 9110 section 12.5.4), heaviest first; what is malformed, `*` or refused is skipped."""
    weighed = []
    for item in header.split(",", MAX_RANGES)[:MAX_RANGES]:
        found = _RANGE.fullmatch(item.strip(" \t"))
        if found and len(found[1]) <= MAX_TAG and float(found[2] or 1) > 0:
            weighed.append((float(found[2] or 1), found[1]))
    return [tag for _, tag in sorted(weighed, key=lambda pair: -pair[0])]


def _lookup(available: Sequence[str], wish: str) -> str | None:
    by_tag = {tag.lower(): tag for tag in available}
    if wish.lower() in by_tag:
        return by_tag[wish.lower()]
    known = {_canonical(tag): tag for tag in reversed(available)}
    for tag in available:
        if tag.lower().startswith("zh-"):
            known.setdefault("-".join(_canonical(tag).split("-")[:2]), tag)
    return next((known[tag] for tag in _broader(_canonical(wish)) if tag in known), None)


def _canonical(tag: str) -> str:
    """Lower case, `no` as `nb`, without a script that goes without saying, and Chinese always with its script: traditional in Taiwan,
    Hong Kong and Macau, else simplified."""
    language, *rest = tag.lower().split("-")
    if language == "no":
        language = "nb"
    if language == "zh" and not any(_is_script(part) for part in rest):
        rest.insert(0, "hant" if _TRADITIONAL & set(rest) else "hans")
    if rest[:1] == [_OWN_SCRIPT.get(language)]:
        del rest[0]
    return "-".join((language, *rest))


def _broader(tag: str) -> Iterator[str]:
    """The tag, then without its last subtags one by one; never without its script, since that may be another script's text."""
    parts = tag.split("-")
    while parts:
        yield "-".join(parts)
        if _is_script(parts.pop()):
            return
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts.pop()


def _is_script(subtag: str) -> bool:
    return len(subtag) == _SCRIPT_LETTERS and subtag.isalpha()
