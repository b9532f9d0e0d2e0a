"""The refused words do not come back."""

import pytest

from tests.house.words import CHECKED, REFUSED, check, faults, pieces


def test_no_refused_word_comes_back() -> None:
    assert check(CHECKED) == []


@pytest.mark.parametrize("word", sorted(REFUSED))
def test_a_refused_word_is_seen_in_prose(word: str) -> None:
    assert faults("app/x.py", f'"""Says {word} here."""\n')
    assert faults("app/x.py", f"x = 1  # says {word} here\n")
    assert faults("docs/x.md", f"Says {word} here.\n")


@pytest.mark.parametrize(
    "text",
    [
        "told = 1\n",
        "def f(who): ...\n",
        "def _shown(): ...\n",
        "class Bell: ...\n",
        "async def listed_keys(): ...\n",
        "for it in (): ...\n",
    ],
)
def test_a_refused_name_is_seen(text: str) -> None:
    assert faults("app/x.py", text)


@pytest.mark.parametrize("text", ["count = 1\n", "class X:\n    @property\n    def opened(self): ...\n", '"""A bedroom, a plane."""\n'])
def test_plain_words_pass(text: str) -> None:
    assert faults("app/x.py", text) == []


def test_a_name_is_taken_apart() -> None:
    assert pieces("TheLastBell") == pieces("the_last_bell") == ["the", "last", "bell"]
