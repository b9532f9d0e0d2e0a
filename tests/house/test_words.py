"""The refused words stay out of the folders that are free of them."""

import pytest

from tests.house.words import REFUSED, check, faults, pieces

CLEAN: tuple[str, ...] = (
    "app/__main__.py",
    "app/access",
    "app/agreements",
    "app/api_keys",
    "app/audit",
    "app/background",
    "app/base",
    "app/catalog",
    "app/cli",
    "app/config",
    "app/db",
    "app/events",
    "app/housekeeping.py",
    "app/licenses",
    "app/login",
    "app/mail",
    "app/main.py",
    "app/models.py",
    "app/observability",
    "app/privacy",
    "app/security",
    "app/server",
    "app/signing_keys",
    "app/users",
    "app/web",
    "app/webhooks",
    "app/world.py",
    "deploy",
    "examples",
    "migrations",
    "ops",
    "tests/access",
    "tests/agreements",
    "tests/api_keys",
    "tests/audit",
    "tests/background",
    "tests/backup",
    "tests/base",
    "tests/browser",
    "tests/catalog",
    "tests/cli",
    "tests/concurrency",
    "tests/config",
    "tests/contract",
    "tests/db",
    "tests/examples",
    "tests/house",
    "tests/licenses",
    "tests/login/account",
    "tests/login/device_grant",
    "tests/login/factors",
    "tests/login/sessions",
    "tests/login/signing_in",
    "tests/mail",
    "tests/migrations",
    "tests/operations",
    "tests/privacy",
    "tests/secrets",
    "tests/security",
    "tests/server",
    "tests/signing_keys",
    "tests/users",
    "tests/web",
    "tests/webhooks",
)
"""Folders and files without a refused word."""


def test_no_refused_word_comes_back() -> None:
    assert check(CLEAN) == []


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
