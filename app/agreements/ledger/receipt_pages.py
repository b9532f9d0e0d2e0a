"""Renders a receipt to print or to save: as the JWS alone, or as a text or HTML page in the language of the agreement's text.

The page is in English where we have no translation. It repeats the receipt's claims and proves nothing without the JWS.
"""

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

from app.agreements.ledger.receipts import Receipt
from app.base.durations import instant_text
from app.base.languages import choose_language
from app.security.signing import Claims

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
class RenderedReceipt:
    """A receipt in one form. `language` is the language of the page's own words; `headers` are the response headers it needs."""

    language: str
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class PageLine:
    """One line of the page. `locale`: the language of a value that is quoted from the text; `code`: the value is for machines."""

    name: str
    value: str
    locale: str | None = None
    code: bool = False


def render_receipt(form: str, receipt: Receipt) -> RenderedReceipt:
    """Render the receipt in one of `FORMS`."""
    row = receipt.row
    language = choose_language(LANGUAGES, (row.locale,), (DEFAULT,)).served
    if form == JWT:
        return RenderedReceipt(language, row.jws, {})
    words = _load_words(language)
    lines = list(_list_lines(words, receipt))
    if form == TEXT:
        return RenderedReceipt(language, _render_text(words, lines, row.jws), {})
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return RenderedReceipt(language, _render_html(language, words, lines, row.jws), headers)


@cache
def _load_words(language: str) -> dict[str, Any]:
    words: dict[str, Any] = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return words


@cache
def _load_template() -> Template:
    return Template((FOLDER / "receipt.html").read_text(encoding="utf-8"))


def _list_lines(words: Mapping[str, Any], receipt: Receipt) -> Iterator[PageLine]:
    row, claims, names = receipt.row, receipt.claims, words["names"]
    locale = row.locale
    yield PageLine(names["event"], words["events"][row.type])
    yield PageLine(names["when"], instant_text(row.at))
    yield PageLine(names["document"], f"{row.name} ({row.product})")
    yield PageLine(names["version"], f"{row.ordinal}" + (f" · {row.label}" if row.label else ""))
    yield PageLine(names["title"], row.title, locale)
    yield PageLine(names["language"], locale)
    if row.fallback not in {None, "none"}:
        yield PageLine(names["requested"], claims.get("locale_requested") or words["nothing"])
    yield PageLine(names["statement"], row.statement, locale)
    yield PageLine(names["accept_label"], row.accept_label, locale)
    yield PageLine(names["decline_label"], row.decline_label, locale)
    yield from _list_actor_lines(words, claims)
    if (reason := claims.get("reason")) is not None:
        yield PageLine(names["reason"], reason)
    for claim, name in (("text_sha256", "text_hash"), ("stmt_sha256", "statement_hash"), ("served_sha256", "served_hash")):
        if claim in claims:
            yield PageLine(names[name], claims[claim], code=True)
    yield PageLine(names["place"], str(row.seq))
    yield PageLine(names["receipt"], str(row.id), code=True)
    yield PageLine(names["account"], claims["sub"], code=True)


def _list_actor_lines(words: Mapping[str, Any], claims: Claims) -> Iterator[PageLine]:
    """Yield the operator who acted, or how and when the end user had logged in."""
    names = words["names"]
    if (act := claims.get("act")) is not None:
        yield PageLine(names["by"], f"{act['type']} {act['id'] or ''}".strip())
        return
    yield PageLine(names["factors"], ", ".join(words["factors"].get(each, each) for each in claims.get("amr", ()) if each != "mfa"))
    if (logged_in := claims.get("auth_time")) is not None:
        yield PageLine(names["logged_in"], instant_text(datetime.fromtimestamp(logged_in, UTC)))


def _render_text(words: Mapping[str, Any], lines: list[PageLine], jws: str) -> str:
    heading = [words["title"], "=" * len(words["title"]), ""]
    return "\n".join([*heading, *(f"{line.name}: {_indent(line.value)}" for line in lines), "", words["lead"], "", jws, ""])


def _indent(value: str) -> str:
    """Indent all but the first line of a value, so that a value cannot forge a line of the page."""
    return "\n    ".join(value.splitlines())  # `splitlines` knows every line end of Unicode


def _render_html(language: str, words: Mapping[str, Any], lines: list[PageLine], jws: str) -> str:
    body = "\n".join(f"<dt>{escape(line.name)}</dt>\n<dd>{_render_value(line)}</dd>" for line in lines)
    texts = {"title": words["title"], "lead": words["lead"], "jws": jws}
    escaped = {name: escape(value) for name, value in texts.items()}
    return _load_template().substitute(language=language, style=STYLE, body=body, **escaped)


def _render_value(line: PageLine) -> str:
    if line.code:
        return f"<code>{escape(line.value)}</code>"
    if line.locale is not None:
        return f'<blockquote lang="{escape(line.locale)}" dir="auto">{escape(line.value)}</blockquote>'
    return escape(line.value)
