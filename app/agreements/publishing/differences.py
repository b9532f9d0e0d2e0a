"""What changed between two texts, line by line, and word by word within a changed passage. Pure; made for people who compare terms.

Lines that either text has once are matched first (patience), so that a text of any length is compared in a moment; only short
passages without such lines are left to difflib, and what is longer is told as replaced in one piece.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Op = Literal["equal", "insert", "delete", "replace"]
CONTEXT = 3
_SMALL = 4096
_WIDE = "\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_WORD = re.compile(rf"\s+|[{_WIDE}][\ufe00-\ufe0f\U000e0100-\U000e01ef]*|[^\s{_WIDE}]+")
"""White space, one Chinese or Japanese character, or whatever stands between: no combining mark is torn from its letter."""


@dataclass(frozen=True)
class Block:
    """A passage: the same in both texts, or what stands in only one of them, or what stands instead of it in the other.

    `words` are the blocks within a replaced passage.
    """

    op: Op
    before: str | None
    after: str | None
    words: tuple["Block", ...] = ()


@dataclass(frozen=True)
class _Span:
    """`before[i:k]` against `after[j:m]`."""

    i: int
    k: int
    j: int
    m: int

    @property
    def op(self) -> Op:
        return "delete" if self.j == self.m else "insert" if self.i == self.k else "replace"


@dataclass(frozen=True)
class Differences:
    """`blocks`, joined, are either text again. `unified` is the same as `diff -u` tells it, without its two lines of names."""

    blocks: tuple[Block, ...]
    unified: str


def differences(before: str, after: str) -> Differences:
    """Of two texts that end with a line end."""
    old, new = _lines(before), _lines(after)
    spans = list(_spans(old, new))
    return Differences(tuple(_blocks(old, new, spans, deep=True)), "".join(_unified(old, new, spans)))


def _lines(text: str) -> list[str]:
    """Only LF ends a line, as agreements R1 stores it; the separators of Unicode are text."""
    return [line + "\n" for line in text.removesuffix("\n").split("\n")]


def _blocks(old: Sequence[str], new: Sequence[str], spans: Sequence[_Span], *, deep: bool) -> Iterator[Block]:
    i = 0
    for span in [*spans, _Span(len(old), len(old), len(new), len(new))]:
        if i < span.i:
            same = "".join(old[i : span.i])
            yield Block("equal", same, same)
        gone, come = "".join(old[span.i : span.k]), "".join(new[span.j : span.m])
        if gone or come:
            yield Block(span.op, gone or None, come or None, _words(gone, come) if deep and span.op == "replace" else ())
        i = span.k


def _words(gone: str, come: str) -> tuple[Block, ...]:
    old, new = _WORD.findall(gone), _WORD.findall(come)
    return tuple(_blocks(old, new, list(_spans(old, new)), deep=False))


def _spans(old: Sequence[str], new: Sequence[str]) -> Iterator[_Span]:
    """What differs, from the top down."""
    i = j = 0
    for k, m in [*sorted(_matches(old, new)), (len(old), len(new))]:
        if i < k or j < m:
            yield _Span(i, k, j, m)
        i, j = k + 1, m + 1


def _matches(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of places that hold the same, rising together."""
    waiting = [_Span(0, len(old), 0, len(new))]
    while waiting:
        span = waiting.pop()
        inner = _inner(old, new, span)
        yield from zip(range(span.i, inner.i), range(span.j, inner.j), strict=True)
        yield from zip(range(inner.k, span.k), range(inner.m, span.m), strict=True)
        if inner.op != "replace":
            continue
        anchors = _anchors(old, new, inner)
        if anchors:
            yield from anchors
            waiting += _between(inner, anchors)
        elif (inner.k - inner.i) * (inner.m - inner.j) <= _SMALL:
            found = SequenceMatcher(None, old[inner.i : inner.k], new[inner.j : inner.m], autojunk=False).get_matching_blocks()
            yield from ((inner.i + it.a + n, inner.j + it.b + n) for it in found for n in range(it.size))


def _inner(old: Sequence[str], new: Sequence[str], span: _Span) -> _Span:
    """The span without what both sides begin with and end with."""
    i, k, j, m = span.i, span.k, span.j, span.m
    while i < k and j < m and old[i] == new[j]:
        i, j = i + 1, j + 1
    while i < k and j < m and old[k - 1] == new[m - 1]:
        k, m = k - 1, m - 1
    return _Span(i, k, j, m)


def _anchors(old: Sequence[str], new: Sequence[str], span: _Span) -> list[tuple[int, int]]:
    """The longest rising run of what stands exactly once on either side."""
    counts, others = Counter(old[span.i : span.k]), Counter(new[span.j : span.m])
    places = {text: place for place, text in enumerate(new[span.j : span.m], span.j) if others[text] == 1 and counts[text] == 1}
    return _rising([(place, places[text]) for place, text in enumerate(old[span.i : span.k], span.i) if text in places])


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence whose second members rise too, by patience sorting."""
    tops: list[int] = []
    ends: list[int] = []
    below: list[int] = []
    for number, (_, place) in enumerate(pairs):
        pile = bisect_left(tops, place)
        below.append(ends[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [place]
        ends[pile : pile + 1] = [number]
    run: list[tuple[int, int]] = []
    number = ends[-1] if ends else -1
    while number >= 0:
        run.append(pairs[number])
        number = below[number]
    return run[::-1]


def _between(span: _Span, anchors: Sequence[tuple[int, int]]) -> Iterator[_Span]:
    i, j = span.i, span.j
    for k, m in [*anchors, (span.k, span.m)]:
        if i < k and j < m:
            yield _Span(i, k, j, m)
        i, j = k + 1, m + 1


def _unified(old: Sequence[str], new: Sequence[str], spans: Sequence[_Span]) -> Iterator[str]:
    """Hunks with three lines around, as GNU diff numbers them."""
    for hunk in _hunks(spans):
        first, last = hunk[0], hunk[-1]
        head = min(CONTEXT, first.i)
        tail = min(CONTEXT, len(old) - last.k)
        i, j = first.i - head, first.j - head
        yield f"@@ -{_range(i, last.k + tail)} +{_range(j, last.m + tail)} @@\n"
        for span in hunk:
            yield from (" " + line for line in old[i : span.i])
            yield from ("-" + line for line in old[span.i : span.k])
            yield from ("+" + line for line in new[span.j : span.m])
            i = span.k
        yield from (" " + line for line in old[i : i + tail])


def _hunks(spans: Sequence[_Span]) -> list[list[_Span]]:
    hunks: list[list[_Span]] = []
    for span in spans:
        if hunks and span.i - hunks[-1][-1].k <= 2 * CONTEXT:
            hunks[-1].append(span)
        else:
            hunks.append([span])
    return hunks


def _range(start: int, stop: int) -> str:
    length = stop - start
    return f"{start + 1}" if length == 1 else f"{start + 1 if length else start},{length}"
