"""A receipt to print or to keep: the signed record alone, or a page in the language of the text (English where we have no words in it).
The page repeats what the receipt says; it proves nothing without it."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from app.agreements.ledger.receipts import Whole
from app.base.durations import instant_text
from app.base.languages import choose_language

FOLDER = Path(__file__).parent / "templates"
LANGUAGES = ("en", "nb", "ru", "zh-Hans")
DEFAULT = "en"
JWT, TEXT, HTML = "application/jwt", "text/plain", "text/html"
FORMS = (JWT, TEXT, HTML)
STYLE = (
    "body{max-width:44em;margin:2em auto;padding:0 1em;font:16px/1.5 system-ui,'Noto Sans',sans-serif;color:#1a1a1a;background:#fff}"
    "dt{font-weight:600;margin-top:.8em}dd{margin:0;overflow-wrap:anywhere}blockquote{margin:0;white-space:pre-wrap}"
    "code{font-size:.85em;overflow-wrap:anywhere}@media print{body{margin:0}}"
)
POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + b64encode(sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)


@dataclass(frozen=True)
class Made:
    """`language` is that of the page's own words; the headers are those that its form needs."""

    language: str
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Line:
    """A line of the page. `locale`: of a value that is the text's own words; `code`: of one for machines."""

    name: str
    value: str
    locale: str | None = None
    code: bool = False


def page(form: str, it: Whole) -> Made:
    """The receipt in one of `FORMS`."""
    language = choose_language(LANGUAGES, (it.row.locale,), (DEFAULT,)).served
    if form == JWT:
        return Made(language, it.row.jws, {})
    words = _words(language)
    lines = list(_lines(words, it))
    if form == TEXT:
        return Made(language, _text(words, lines, it.row.jws), {})
    return Made(language, _html(language, words, lines, it.row.jws), {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"})


@cache
def _words(language: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return told


@cache
def _frame() -> Template:
    return Template((FOLDER / "receipt.html").read_text(encoding="utf-8"))


def _lines(words: Mapping[str, Any], it: Whole) -> Iterator[Line]:
    row, claims, names = it.row, it.claims, words["names"]
    locale = row.locale
    yield Line(names["event"], words["events"][row.type])
    yield Line(names["when"], instant_text(row.at))
    yield Line(names["document"], f"{row.name} ({row.product})")
    yield Line(names["version"], f"{row.ordinal}" + (f" · {row.label}" if row.label else ""))
    yield Line(names["title"], row.title, locale)
    yield Line(names["language"], locale)
    if row.fallback not in {None, "none"}:
        asked = claims.get("locale_requested") or words["nothing"]
        yield Line(names["requested"], asked)
    yield Line(names["statement"], row.statement, locale)
    yield Line(names["accept_label"], row.accept_label, locale)
    yield Line(names["decline_label"], row.decline_label, locale)
    yield from _who(words, it)
    if (reason := claims.get("reason")) is not None:
        yield Line(names["reason"], reason)
    for claim, name in (("text_sha256", "text_hash"), ("stmt_sha256", "statement_hash"), ("served_sha256", "served_hash")):
        if claim in claims:
            yield Line(names[name], claims[claim], code=True)
    yield Line(names["place"], str(row.seq))
    yield Line(names["receipt"], str(row.id), code=True)
    yield Line(names["account"], claims["sub"], code=True)


def _who(words: Mapping[str, Any], it: Whole) -> Iterator[Line]:
    """How it was known who acted."""
    claims, names = it.claims, words["names"]
    if (act := claims.get("act")) is not None:
        yield Line(names["by"], f"{act['type']} {act['id'] or ''}".strip())
        return
    yield Line(names["factors"], ", ".join(words["factors"].get(each, each) for each in claims.get("amr", ()) if each != "mfa"))
    if (logged_in := claims.get("auth_time")) is not None:
        yield Line(names["logged_in"], instant_text(datetime.fromtimestamp(logged_in, UTC)))


def _text(words: Mapping[str, Any], lines: list[Line], jws: str) -> str:
    told = [words["title"], "=" * len(words["title"]), "", *(f"{line.name}: {_indented(line.value)}" for line in lines)]
    return "\n".join([*told, "", words["lead"], "", jws, ""])


def _indented(value: str) -> str:
    """A value whose further lines stand in, so that none of them passes for a line of the page (`str.splitlines` knows every line end)."""
    return "\n    ".join(value.splitlines())


def _html(language: str, words: Mapping[str, Any], lines: list[Line], jws: str) -> str:
    body = "\n".join(f"<dt>{escape(line.name)}</dt>\n<dd>{_value(line)}</dd>" for line in lines)
    facts = {"title": words["title"], "lead": words["lead"], "jws": jws}
    return _frame().substitute(language=language, style=STYLE, body=body, **{name: escape(value) for name, value in facts.items()})


def _value(line: Line) -> str:
    if line.code:
        return f"<code>{escape(line.value)}</code>"
    if line.locale is not None:
        return f'<blockquote lang="{escape(line.locale)}" dir="auto">{escape(line.value)}</blockquote>'
    return escape(line.value)
