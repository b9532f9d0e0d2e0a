"""Differences of two texts: the blocks join to either text, and hostile texts are compared in bounded time."""

import time
from collections.abc import Iterable
from pathlib import Path
from subprocess import run

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.agreements.publishing.differences import Block, compare_texts

SMALL = st.lists(st.sampled_from(["a", "b", "c", "", "a b c", "a x c", "条款", "條款。"]), min_size=1, max_size=14)
TIME_LIMIT = 20.0
"""Seconds; a comparison that grows with the square of a long text takes minutes."""


def text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def sides(blocks: Iterable[Block]) -> tuple[str, str]:
    agreement = list(blocks)
    return "".join(each.before or "" for each in agreement), "".join(each.after or "" for each in agreement)


def ops(before: str, after: str) -> list[str]:
    return [each.op for each in compare_texts(before, after).blocks]


@example(["a", "b"], ["b", "a"])
@example(["a", "", "b", ""], ["", "a", "", "b"])
@given(SMALL, SMALL)
def test_either_side_is_its_text_again(old: list[str], new: list[str]) -> None:
    """Also for the words of a replaced passage; equal blocks are equal, and changed blocks differ."""
    before, after = text(old), text(new)
    agreement = compare_texts(before, after)
    assert sides(agreement.blocks) == (before, after)
    for block in agreement.blocks:
        assert (block.before == block.after) == (block.op == "equal")
        assert (block.before is None, block.after is None) == (block.op == "insert", block.op == "delete")
        if block.words:
            assert sides(block.words) == (block.before, block.after)
        assert bool(block.words) == (block.op == "replace")
    assert [each.op for each in agreement.blocks] == ["equal"] if old == new else True


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\nb\nc\n", "a\nc\n"),
        ("a\n", "a\nb\n"),
        ("a\nb\n", "c\n"),
        (text(map(str, range(40))), text([*map(str, range(5)), "new", *map(str, range(5, 20)), *map(str, range(22, 40)), "end"])),
        (text(map(str, range(12))), text([*map(str, range(2)), "x", *map(str, range(3, 9)), "y", *map(str, range(10, 12))])),
        (text(map(str, range(13))), text([*map(str, range(2)), "x", *map(str, range(3, 10)), "y", *map(str, range(11, 13))])),
        ("a\n\nb\n", "a\n\nb\n"),
    ],
)
def test_unified_is_what_diff_says(tmp_path: Path, before: str, after: str) -> None:
    """GNU diff itself on the same texts."""
    (tmp_path / "before").write_text(before, encoding="utf-8")
    (tmp_path / "after").write_text(after, encoding="utf-8")
    result = run(["diff", "-u", tmp_path / "before", tmp_path / "after"], capture_output=True, text=True, check=False).stdout
    assert compare_texts(before, after).unified == "".join(result.splitlines(keepends=True)[2:])


def test_words() -> None:
    """A replaced line lists the words that changed."""
    (block,) = compare_texts("You must be kind to all.\n", "You should be kind to all, always.\n").blocks
    assert [(each.op, each.before, each.after) for each in block.words] == [
        ("equal", "You ", "You "),
        ("replace", "must", "should"),
        ("equal", " be kind to ", " be kind to "),
        ("replace", "all.", "all, always."),
        ("equal", "\n", "\n"),
    ]


def test_characters_where_no_space_parts_words() -> None:
    """Chinese is compared character by character, with variation selectors."""
    (block,) = compare_texts("用户必须善良。\n", "用户应当善良。\n").blocks
    assert [(each.op, each.before, each.after) for each in block.words] == [
        ("equal", "用户", "用户"),
        ("replace", "必须", "应当"),
        ("equal", "善良。\n", "善良。\n"),
    ]
    (block,) = compare_texts("葛\U000e0100城\n", "葛\U000e0101城\n").blocks
    assert block.words[0] == Block("replace", "葛\U000e0100", "葛\U000e0101")


def test_no_mark_is_torn_from_its_letter() -> None:
    """Combining marks stay with their word."""
    (block,) = compare_texts("be n\u0304 kind\n", "be n\u0301\u0304 kind\n").blocks
    assert block.words[1] == Block("replace", "n\u0304", "n\u0301\u0304")


def test_separators_of_unicode_are_text() -> None:
    """Agreements R1 knows one line end: U+2028, U+0085 and form feeds do not end a line."""
    assert ops("a\u2028b\n", "a\u2028c\n") == ["replace"]
    assert len(compare_texts("a\u2028b\n", "a\u2028c\n").unified.split("\n")) == 4


def test_moved_lines_give_one_deletion_and_one_insertion() -> None:
    assert ops("a\nb\nc\nd\n", "b\nc\nd\na\n") == ["delete", "equal", "insert"]
    assert ops("a\nb\n", "a\nb\n") == ["equal"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (text(["x", ""] * 40_000), text(["y", ""] * 40_000)),
        (text(str(n % 100) for n in range(60_000)), text(str(n * 7 % 100) for n in range(60_000))),
        (text(map(str, range(30_000))), text(map(str, reversed(range(30_000))))),
        (text(f"line {n} {n % 3}" for n in range(15_000)), text(f"line {n} {n % 2}" for n in range(15_000))),
        ("a " * 99_000 + "\n", "b " * 99_000 + "\n"),
        ("".join(f"{n} x " for n in range(20_000)) + "\n", "".join(f"{n} y " for n in range(20_000)) + "\n"),
    ],
    ids=["blanks", "repeated", "reversed", "all changed", "one line", "one line of many words"],
)
def test_the_time_for_long_texts_is_bounded(before: str, after: str) -> None:
    """Texts of the maximum length with little in common."""
    started = time.perf_counter()
    assert sides(compare_texts(before, after).blocks) == (before, after)
    assert time.perf_counter() - started < TIME_LIMIT
