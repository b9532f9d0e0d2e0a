"""Documents are read by strangers: short sentences, and none of the refused words."""

import pytest

from tests.docs.pages import Page, pages
from tests.house.words import faults

LONGEST = 25
"""Words of a sentence; code spans count as one word."""


def too_long(source: Page) -> list[str]:
    """The sentences of a page that have too many words."""
    return [f"{source.path}: {length} words: {text}" for text in source.sentences() if (length := count_words(text)) > LONGEST]


def count_words(sentence: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def test_sentences_are_short() -> None:
    assert [fault for each in pages() for fault in too_long(each)] == []


def test_a_long_sentence_is_seen() -> None:
    assert too_long(Page("docs/x.md", "# X\n\n" + "word " * 26 + "end.\n"))
    assert too_long(Page("docs/x.md", "- " + "word " * 26 + "end.\n"))
    assert not too_long(Page("docs/x.md", "Short. " * 30 + "\n"))


def test_no_refused_word_is_used() -> None:
    assert [fault for each in pages() for fault in faults(each.path, each.without_code)] == []


@pytest.mark.parametrize("path", ["README.md"])
def test_the_readme_is_short(path: str) -> None:
    (readme,) = (each for each in pages() if each.path == path)
    assert len(readme.text.splitlines()) <= 150
