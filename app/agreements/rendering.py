"""A Markdown text as HTML and as plain text, made once, at publish (agreements R2). What comes out carries no script, style or foreign address
that loads by itself."""

import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

_DEEPEST = 60
"""Lists and quotations inside each other; what lies deeper is refused by `lost`, for a renderer would leave it out."""
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable("table").disable("image")
_TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "a"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
_SCRIPT_LETTERS = 4
_WORD = re.compile(r"\w+")
_RIGHT_TO_LEFT = {"adlm", "arab", "aran", "hebr", "mand", "nkoo", "rohg", "samr", "syrc", "thaa"}
_WRITTEN_RIGHT_TO_LEFT = {"ar", "arc", "ckb", "dv", "fa", "he", "iw", "ji", "ks", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"}


def html(body: str, locale: str) -> str:
    """Sanitised HTML, one `article` that says its language and direction; neither images nor raw HTML. A link may only be `http`,
    `https` or `mailto`."""
    made = _MARKDOWN.render(body)
    clean = nh3.clean(made, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="noopener noreferrer")
    return f'<article lang="{escape(locale)}" dir="{direction(locale)}">\n{clean}</article>\n'


def lost(body: str) -> list[int]:
    """Lines of the source (from 1) with words that not every form would show: too deep in lists, beyond a table's last column, in the
    hidden title of a link, behind a fence. Somebody who is shown one form accepts all of the source, and must have seen it (agreements R14, R15)."""
    env: dict[str, Any] = {}
    kept: Counter[str] = Counter()
    for token in _MARKDOWN.parse(body, env):
        kept.update(_WORD.findall(token.content))
        for child in token.children or ():
            kept.subtract(_WORD.findall(str(child.attrGet("title") or "")))
    for label, target in env.get("references", {}).items():
        kept.update(_WORD.findall(f"{label} {target['href']}".casefold()))
    missing = Counter(_WORD.findall(body))
    missing.subtract(kept)
    hidden = {word for word, times in missing.items() if times > 0 and not word.isdecimal() and kept[word.casefold()] <= 0}
    return [number for number, line in enumerate(body.splitlines(), 1) if hidden & set(_WORD.findall(line))] if hidden else []


def direction(locale: str) -> str:
    """`rtl` or `ltr`: by the tag's script, or else by the one that its language is usually written in."""
    language, *rest = locale.lower().split("-")
    script = next((part for part in rest if len(part) == _SCRIPT_LETTERS and part.isalpha()), None)
    backwards = script in _RIGHT_TO_LEFT if script else language in _WRITTEN_RIGHT_TO_LEFT
    return "rtl" if backwards else "ltr"


def plain(body: str) -> str:
    """The text for screens and printers without markup: paragraphs apart by an empty line, list items by their marks, a link with its
    address behind it. UTF-8, LF line ends, a final one."""
    paper = _Paper()
    for token in _MARKDOWN.parse(body):
        paper.take(token)
    return paper.text()


class _Paper:
    """Blocks of plain lines, with the indentation of the lists and quotations that they stand in."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._indents: list[str] = []
        self._mark = ""
        self._cells: list[str] | None = None

    def take(self, token: Token) -> None:
        if token.type in {"list_item_open", "blockquote_open"}:
            self._enter(token)
        elif token.type in {"list_item_close", "blockquote_close"}:
            self._indents.pop()
        elif token.type == "tr_open":
            self._cells = []
        elif token.type == "tr_close":
            self._put(" | ".join(self._cells or ()))
            self._cells = None
        elif token.type == "inline":
            self._line(_words(token.children or ()))
        elif token.type in {"fence", "code_block"}:
            self._put(token.content.rstrip("\n"))
        elif token.type == "hr":
            self._put("----")

    def _enter(self, token: Token) -> None:
        quoted = token.type == "blockquote_open"
        self._mark = "> " if quoted else f"{token.info}{token.markup} " if token.info else "- "
        self._indents.append("> " if quoted else " " * len(self._mark))
        self._mark = "" if quoted else self._mark

    def _line(self, text: str) -> None:
        if self._cells is not None:
            self._cells.append(text)
        else:
            self._put(text)

    def _put(self, text: str) -> None:
        indent = "".join(self._indents)
        lines = [indent + line for line in text.split("\n")]
        if self._mark:
            lines[0] = indent.removesuffix(" " * len(self._mark)) + self._mark + lines[0].removeprefix(indent)
            self._mark = ""
        self._blocks.append("\n".join(lines).rstrip())

    def text(self) -> str:
        return "\n\n".join(self._blocks) + "\n"


def _words(children: Sequence[Token]) -> str:
    parts: list[str] = []
    addresses: list[str] = []
    for child in children:
        if child.type == "link_open":
            addresses.append(str(child.attrGet("href") or ""))
        elif child.type == "link_close":
            address = addresses.pop()
            parts.append(f" ({address})" if address and parts[-1:] != [address] else "")
        else:
            parts.append("\n" if child.type in {"softbreak", "hardbreak"} else child.content)
    return "".join(parts)
