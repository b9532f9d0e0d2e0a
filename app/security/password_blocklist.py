"""Passwords that are guessed first: a local list, patterns that need no list, and words that belong to the account (authentication R3).

The list is ours (`common_passwords.txt`): what people choose when they are asked for a long one. No rule of composition besides.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from string import digits

LEAST_WORD = 4
LEAST_REST = 8
LONGEST_UNIT = 8
_WALKS = (
    *("abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm", "azertyuiop"),
    *("qazwsxedcrfvtgbyhnujmikolp", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "q1w2e3r4t5y6u7i8o9p0", "1q2w3e4r5t6y7u8i9o0p"),
)
_NOISE = re.compile(r"[\W_]+")

Fault = tuple[str, str]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _bare(text: str) -> str:
    """Letters and digits alone: what stands between words makes them no harder to guess."""
    return _NOISE.sub("", _folded(text))


COMMON = frozenset((Path(__file__).parent / "common_passwords.txt").read_text(encoding="utf-8").split())
"""Folded, without spaces and signs; a number at the end of one makes no other of it."""


def find_fault(password: str, words: Iterable[str]) -> Fault | None:
    """(code, sentence) of the reason why the password must not be taken; None when there is none. `words`: names around the account."""
    bare = _bare(password)
    if {bare, bare.rstrip(digits)} & COMMON or _folded(password) in COMMON or _repeated(bare) or _walked(bare):
        return "password_common", "is among the passwords that are guessed first; choose another"
    if _spent(bare, words):
        return "password_context", "is little more than a name of the account or of the service; choose another"
    return None


def _repeated(bare: str) -> bool:
    """One short thing again and again."""
    return any(bare == (bare[:unit] * len(bare))[: len(bare)] for unit in range(1, min(LONGEST_UNIT, len(bare) // 2) + 1))


def _walked(bare: str) -> bool:
    """A walk over the alphabet, the digits or the keyboard, there or back."""
    lines = [line * 2 for line in _WALKS]
    return len(bare) > LEAST_WORD and any(bare in line or bare[::-1] in line for line in lines)


def _spent(bare: str, words: Iterable[str]) -> bool:
    """Whether a word of the account is in it and hardly anything else."""
    rest = bare
    for word in sorted({_bare(word) for word in words}, key=len, reverse=True):
        if len(word) >= LEAST_WORD:
            rest = rest.replace(word, "")
    return rest != bare and len(rest) < LEAST_REST
