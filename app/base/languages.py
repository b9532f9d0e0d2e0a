"""Choose the language to serve: RFC 4647 lookup over the end user's preferences. Pure; never crosses scripts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

MAX_RANGES = 10
MAX_TAG = 35
_RANGE = re.compile(r"([a-z]{1,8}(?:-[a-z0-9]{1,8})*)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?", re.ASCII | re.IGNORECASE)
_TRADITIONAL = {"tw", "hk", "mo"}
_SCRIPT_LETTERS = 4
_DEFAULT_SCRIPT = {
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
"""The default script of common languages (`Suppress-Script` of the IANA language subtag registry)."""

Fallback = Literal["none", "language", "default"]


@dataclass(frozen=True)
class LanguageChoice:
    """The language to serve. `requested`: the first preference, or None without preferences.

    `fallback`: `none` for exactly the first preference, `language` for a broader form of it or a later one, `default` for no match.
    """

    requested: str | None
    served: str
    fallback: Fallback


def choose_language(available: Sequence[str], preferences: Sequence[str], defaults: Sequence[str]) -> LanguageChoice:
    """Choose by RFC 4647 section 3.4 lookup for each preference, then for each default.

    `available`: the tags of the texts; `preferences`: as `order_preferences` returns them; `defaults`: the product's, then the document's.
    Raises LookupError if no default is available, which publishing prevents.
    """
    requested = preferences[0] if preferences else None
    for place, preference in enumerate(preferences):
        if (match := _lookup(available, preference)) is not None:
            exact = place == 0 and _canonicalise(match) == _canonicalise(preference)
            return LanguageChoice(requested, match, "none" if exact else "language")
    for default in defaults:
        if (match := _lookup(available, default)) is not None:
            return LanguageChoice(requested, match, "default")
    raise LookupError("no text in a default language")


def order_preferences(parameter: str | None, profile: str | None, header: str | None) -> tuple[str, ...]:
    """Return the end user's languages, best first: the request parameter, the profile, then `Accept-Language` by weight."""
    return tuple(tag for tag in (parameter, profile, *_parse_ranges(header or "")) if tag is not None)


def covers_language(languages: Sequence[str], language: str) -> bool:
    """Return whether `language` is in `languages`, or is a narrower form of one of them (`fr-CA` for `fr`). Never crosses scripts."""
    forms = set(_list_broader_tags(_canonicalise(language)))
    return any(_canonicalise(tag) in forms for tag in languages)


def _parse_ranges(header: str) -> list[str]:
    """Return the tags of at most ten ranges (RFC 9110 section 12.5.4), heaviest first, without malformed ones, `*` and weight 0."""
    weighted = []
    for item in header.split(",", MAX_RANGES)[:MAX_RANGES]:
        match = _RANGE.fullmatch(item.strip(" \t"))
        if match and len(match[1]) <= MAX_TAG and float(match[2] or 1) > 0:
            weighted.append((float(match[2] or 1), match[1]))
    return [tag for _, tag in sorted(weighted, key=lambda pair: -pair[0])]


def _lookup(available: Sequence[str], preference: str) -> str | None:
    by_tag = {tag.lower(): tag for tag in available}
    if preference.lower() in by_tag:
        return by_tag[preference.lower()]
    known = {_canonicalise(tag): tag for tag in reversed(available)}
    for tag in available:
        if tag.lower().startswith("zh-"):
            known.setdefault("-".join(_canonicalise(tag).split("-")[:2]), tag)
    return next((known[tag] for tag in _list_broader_tags(_canonicalise(preference)) if tag in known), None)


def _canonicalise(tag: str) -> str:
    """Return the tag in lower case, with `nb` for `no`, without a default script, and Chinese always with its script.

    Chinese is traditional in Taiwan, Hong Kong and Macau, otherwise simplified.
    """
    language, *rest = tag.lower().split("-")
    if language == "no":
        language = "nb"
    if language == "zh" and not any(_is_script(part) for part in rest):
        rest.insert(0, "hant" if _TRADITIONAL & set(rest) else "hans")
    if rest[:1] == [_DEFAULT_SCRIPT.get(language)]:
        del rest[0]
    return "-".join((language, *rest))


def _list_broader_tags(tag: str) -> Iterator[str]:
    """Yield the tag, then shorter forms without the last subtag. The script is never removed: the text may be in another one."""
    parts = tag.split("-")
    while parts:
        yield "-".join(parts)
        if _is_script(parts.pop()):
            return
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts.pop()


def _is_script(subtag: str) -> bool:
    return len(subtag) == _SCRIPT_LETTERS and subtag.isalpha()
