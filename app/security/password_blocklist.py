"""Refuse common passwords: a local list, simple patterns, and words of the account (authentication R3).

The list (`common_passwords.txt`) has common long passwords. There are no rules about character classes.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from string import digits

MIN_WORD = 4
MIN_REST = 8
MAX_UNIT = 8
_WALKS = (
    *("abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm", "azertyuiop"),
    *("qazwsxedcrfvtgbyhnujmikolp", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "q1w2e3r4t5y6u7i8o9p0", "1q2w3e4r5t6y7u8i9o0p"),
)
_PUNCTUATION = re.compile(r"[\W_]+")

Fault = tuple[str, str]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _strip_punctuation(text: str) -> str:
    """Return only the letters and digits: punctuation does not make a password harder to guess."""
    return _PUNCTUATION.sub("", _fold(text))


COMMON = frozenset((Path(__file__).parent / "common_passwords.txt").read_text(encoding="utf-8").split())
"""Case-folded passwords without spaces and punctuation. Digits at the end of a password are ignored when it is looked up."""


def find_fault(password: str, words: Iterable[str]) -> Fault | None:
    """Return (code, sentence) of the reason to refuse the password, or None. `words`: names related to the account."""
    bare = _strip_punctuation(password)
    if {bare, bare.rstrip(digits)} & COMMON or _fold(password) in COMMON or _is_repetition(bare) or _is_keyboard_walk(bare):
        return "password_common", "is a common password; choose another one"
    if _is_mostly_words(bare, words):
        return "password_context", "consists mostly of a name of the account or the service; choose another one"
    return None


def _is_repetition(bare: str) -> bool:
    """Return whether the password repeats a short part."""
    return any(bare == (bare[:unit] * len(bare))[: len(bare)] for unit in range(1, min(MAX_UNIT, len(bare) // 2) + 1))


def _is_keyboard_walk(bare: str) -> bool:
    """Return whether the password is a sequence of the alphabet, the digits or the keyboard, in either direction."""
    lines = [line * 2 for line in _WALKS]
    return len(bare) > MIN_WORD and any(bare in line or bare[::-1] in line for line in lines)


def _is_mostly_words(bare: str, words: Iterable[str]) -> bool:
    """Return whether the password contains a word of the account and little else."""
    rest = bare
    for word in sorted({_strip_punctuation(word) for word in words}, key=len, reverse=True):
        if len(word) >= MIN_WORD:
            rest = rest.replace(word, "")
    return rest != bare and len(rest) < MIN_REST
