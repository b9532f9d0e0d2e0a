"""Renders a Markdown text to HTML and to plain text, once, when it is published (agreements R2).

The output has no script, no style and no external resource that a browser would load.
"""

import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

_MAX_NESTING = 60
"""Nesting depth of lists and quotations. Renderers omit deeper content, so `find_lost_lines` reports it."""
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING}).enable("table").disable("image")
_TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "a"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
_SCRIPT_LETTERS = 4
_WORD = re.compile(r"\w+")
_RIGHT_TO_LEFT_SCRIPTS = {"adlm", "arab", "aran", "hebr", "mand", "nkoo", "rohg", "samr", "syrc", "thaa"}
_RIGHT_TO_LEFT_LANGUAGES = {"ar", "arc", "ckb", "dv", "fa", "he", "iw", "ji", "ks", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"}


def render_html(body: str, locale: str) -> str:
    """Render sanitised HTML: one `article` with its language and direction, without images and raw HTML.

    Links are `http`, `https` or `mailto`.
    """
    clean = nh3.clean(_MARKDOWN.render(body), tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="noopener noreferrer")
    return f'<article lang="{escape(locale)}" dir="{find_direction(locale)}">\n{clean}</article>\n'


def find_lost_lines(body: str) -> list[int]:
    """Return the line numbers of the source (from 1) with words that HTML or plain text would omit.

    Examples: nesting that is too deep, cells beyond a table's last column, the title of a link, the language of a code block. An end user
    who sees one format accepts the whole source, so every format must show all words (agreements R2).
    """
    env: dict[str, Any] = {}
    rendered: Counter[str] = Counter()
    for token in _MARKDOWN.parse(body, env):
        rendered.update(_WORD.findall(token.content))
        for child in token.children or ():
            rendered.subtract(_WORD.findall(str(child.attrGet("title") or "")))
    for label, target in env.get("references", {}).items():
        rendered.update(_WORD.findall(f"{label} {target['href']}".casefold()))
    missing = Counter(_WORD.findall(body))
    missing.subtract(rendered)
    lost = {word for word, times in missing.items() if times > 0 and not word.isdecimal() and rendered[word.casefold()] <= 0}
    return [number for number, line in enumerate(body.splitlines(), 1) if lost & set(_WORD.findall(line))] if lost else []


def find_direction(locale: str) -> str:
    """Return `rtl` or `ltr`, by the script in the tag or else by the usual script of the language."""
    language, *rest = locale.lower().split("-")
    script = next((part for part in rest if len(part) == _SCRIPT_LETTERS and part.isalpha()), None)
    is_right_to_left = script in _RIGHT_TO_LEFT_SCRIPTS if script else language in _RIGHT_TO_LEFT_LANGUAGES
    return "rtl" if is_right_to_left else "ltr"


def render_plain(body: str) -> str:
    """Render plain text: an empty line between blocks, marks before list items, URLs after links, LF line ends, a final line end."""
    writer = _PlainWriter()
    for token in _MARKDOWN.parse(body):
        writer.add(token)
    return writer.text()


class _PlainWriter:
    """Collects blocks of plain lines, indented by the lists and quotations around them."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._indents: list[str] = []
        self._mark = ""
        self._cells: list[str] | None = None

    def add(self, token: Token) -> None:
        if token.type in {"list_item_open", "blockquote_open"}:
            self._open_container(token)
        elif token.type in {"list_item_close", "blockquote_close"}:
            self._indents.pop()
        elif token.type == "tr_open":
            self._cells = []
        elif token.type == "tr_close":
            self._add_block(" | ".join(self._cells or ()))
            self._cells = None
        elif token.type == "inline":
            self._add_inline(_inline_text(token.children or ()))
        elif token.type in {"fence", "code_block"}:
            self._add_block(token.content.rstrip("\n"))
        elif token.type == "hr":
            self._add_block("----")

    def _open_container(self, token: Token) -> None:
        quoted = token.type == "blockquote_open"
        self._mark = "> " if quoted else f"{token.info}{token.markup} " if token.info else "- "
        self._indents.append("> " if quoted else " " * len(self._mark))
        self._mark = "" if quoted else self._mark

    def _add_inline(self, text: str) -> None:
        if self._cells is not None:
            self._cells.append(text)
        else:
            self._add_block(text)

    def _add_block(self, text: str) -> None:
        indent = "".join(self._indents)
        lines = [indent + line for line in text.split("\n")]
        if self._mark:
            lines[0] = indent.removesuffix(" " * len(self._mark)) + self._mark + lines[0].removeprefix(indent)
            self._mark = ""
        self._blocks.append("\n".join(lines).rstrip())

    def text(self) -> str:
        return "\n\n".join(self._blocks) + "\n"


def _inline_text(children: Sequence[Token]) -> str:
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
