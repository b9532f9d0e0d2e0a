"""The Markdown pages of the repository, taken apart into headings, links, code and prose."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tests.house.source import ROOT

ROOT_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z`*\[\"(])|(?<=[.:;]\*\*)\s+")


@dataclass(frozen=True)
class Page:
    """One page: its path from the root, with slashes, and its text."""

    path: str
    text: str

    @cached_property
    def without_code(self) -> str:
        return _FENCE.sub("", self.text)

    @cached_property
    def anchors(self) -> frozenset[str]:
        """What a link to this page can name after `#`: explicit anchors, and headings as GitHub spells them."""
        return frozenset(_ANCHOR.findall(self.text)) | {slug(heading) for heading in _HEADING.findall(self.without_code)}

    def links(self) -> Iterator[str]:
        yield from _LINK.findall(self.without_code)

    def sentences(self) -> Iterator[str]:
        """The sentences of paragraphs and list items; no headings, tables, code or link targets."""
        for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|\n(?=[#|])", self.without_code):
            text = re.sub(r"^\s*(?:[-*]|\d+\.) ", "", block.strip())
            if text and not text.startswith(("#", "|", "<!--", "---")):
                text = re.sub(r"\]\([^)]*\)", "]", _ANCHOR.sub("", text))
                yield from (sentence for sentence in _SENTENCE_END.split(" ".join(text.split())) if sentence)

    def code_blocks(self) -> Iterator[str]:
        yield from _FENCE.findall(self.text)


def slug(heading: str) -> str:
    """The anchor of a heading: lower case, no punctuation, dashes for spaces."""
    text = re.sub(r"[`*\[\]]|\([^)]*\)$", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def pages() -> tuple[Page, ...]:
    """Every page: those of the root, and all below `docs`."""
    paths = [ROOT / name for name in ROOT_PAGES] + sorted((ROOT / "docs").rglob("*.md"))
    return tuple(Page(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


@cache
def page(path: str) -> Page | None:
    return next((each for each in pages() if each.path == path), None)


def target_of(link: str, source: Page) -> tuple[Path, str]:
    """The file that a relative link names, and the anchor in it ("" for none)."""
    name, _, anchor = link.partition("#")
    return ((ROOT / source.path).parent / name).resolve() if name else ROOT / source.path, anchor
