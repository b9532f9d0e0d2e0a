"""Compares two texts line by line, and word by word within changed lines. Pure.

difflib does the work. Its time grows with the square of the length in bad cases, so each comparison has a limit: when that is used up,
the passages that are not compared yet count as replaced.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher
from itertools import accumulate, groupby, pairwise
from typing import Literal

Op = Literal["equal", "insert", "delete", "replace"]
WORK_LIMIT = 5_000_000
"""Steps of difflib's inner loop for one comparison: about one second."""
_WIDE = "\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_WORD = re.compile(rf"\s+|[{_WIDE}][\ufe00-\ufe0f\U000e0100-\U000e01ef]*|[^\s{_WIDE}]+")
"""White space, one Chinese or Japanese character with its variation selectors, or a word with its combining marks."""


@dataclass(frozen=True)
class Block:
    """A passage of both texts, or of only one of them; the missing side is None. `words`: the differences within a replaced passage."""

    op: Op
    before: str | None
    after: str | None
    words: tuple["Block", ...] = ()


@dataclass(frozen=True)
class Differences:
    """The result. `blocks`: the joined passages of one side are its text. `unified`: the output of `diff -u` without the two file names."""

    blocks: tuple[Block, ...]
    unified: str


@dataclass
class _Budget:
    """The remaining steps of one comparison."""

    steps: int = WORK_LIMIT


class _Matcher(SequenceMatcher[str]):
    """Matches the common beginning and end, then the longest common run, until the budget is used up.

    White space is joined to the part before it for difflib: on its own it is so frequent that matching it takes most of the time.
    """

    def __init__(self, before: Sequence[str], after: Sequence[str], budget: _Budget) -> None:
        keys, new_keys = _join_space(before), _join_space(after)
        super().__init__(None, keys, new_keys, autojunk=False)
        counts = Counter(new_keys)
        self._before, self._after, self._budget = before, after, budget
        self._costs = list(accumulate((1 + counts[key] for key in keys), initial=0))

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        ahi, bhi = len(self._before) if ahi is None else ahi, len(self._after) if bhi is None else bhi
        old, new = self._before[alo:ahi], self._after[blo:bhi]
        if prefix := _count_equal(old, new):
            return Match(alo, blo, prefix)
        if suffix := _count_equal(old[::-1], new[::-1]):
            return Match(ahi - suffix, bhi - suffix, suffix)
        self._budget.steps -= self._costs[ahi] - self._costs[alo]
        return Match(alo, blo, 0) if self._budget.steps < 0 else super().find_longest_match(alo, ahi, blo, bhi)


def _join_space(parts: Sequence[str]) -> list[str]:
    return [previous + part if part.isspace() else part for previous, part in pairwise(["", *parts])]


def _count_equal(old: Sequence[str], new: Sequence[str]) -> int:
    """Count the equal parts at the beginning of both."""
    return next((index for index, (part, other) in enumerate(zip(old, new, strict=False)) if part != other), min(len(old), len(new)))


def compare_texts(before: str, after: str) -> Differences:
    """Compare two texts that end with a line end."""
    budget = _Budget()
    old, new = _split_lines(before), _split_lines(after)
    matcher = _Matcher(old, new, budget)
    blocks = tuple(
        _make_block(op, old[i:k], new[j:m], _compare_words(old[i:k], new[j:m], budget) if op == "replace" else ())
        for op, i, k, j, m in matcher.get_opcodes()
    )
    return Differences(blocks, "".join(_format_unified(matcher, old, new)))


def _split_lines(text: str) -> list[str]:
    """Split at LF only, the line end of stored texts (agreements R1); other Unicode separators are text."""
    return [line + "\n" for line in text.removesuffix("\n").split("\n")]


def _make_block(op: Op, old: Sequence[str], new: Sequence[str], words: tuple[Block, ...] = ()) -> Block:
    return Block(op, "".join(old) or None, "".join(new) or None, words)


def _compare_words(old: Sequence[str], new: Sequence[str], budget: _Budget) -> tuple[Block, ...]:
    """Compare the words of a replaced passage: line by line where both sides have the same number of lines, else as a whole."""
    pairs = zip(old, new, strict=True) if len(old) == len(new) else [("".join(old), "".join(new))]
    pieces: list[Block] = []
    for before, after in pairs:
        words, new_words = _WORD.findall(before), _WORD.findall(after)
        opcodes = _Matcher(words, new_words, budget).get_opcodes()
        pieces += (_make_block(op, words[i:k], new_words[j:m]) for op, i, k, j, m in opcodes)
    grouped = [list(group) for _, group in groupby(pieces, key=lambda piece: piece.op)]
    return tuple(_make_block(group[0].op, [each.before or "" for each in group], [each.after or "" for each in group]) for group in grouped)


def _format_unified(matcher: _Matcher, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Yield hunks with three lines of context, in the numbering of GNU diff."""
    for hunk in matcher.get_grouped_opcodes():
        (_, i, _, j, _), (_, _, k, _, m) = hunk[0], hunk[-1]
        yield f"@@ -{_format_range(i, k)} +{_format_range(j, m)} @@\n"
        for op, start, stop, new_start, new_stop in hunk:
            if op == "equal":
                yield from (" " + line for line in old[start:stop])
            else:
                yield from ("-" + line for line in old[start:stop])
                yield from ("+" + line for line in new[new_start:new_stop])


def _format_range(start: int, stop: int) -> str:
    length = stop - start
    return f"{start + 1}" if length == 1 else f"{start + 1 if length else start},{length}"
