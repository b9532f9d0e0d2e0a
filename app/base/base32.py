"""Crockford base32, for secrets that people type. It has no I, L, O and U; input may have spaces, dashes and lookalikes."""

import re

from app.base.entropy import Entropy

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOKALIKES = str.maketrans({"O": "0", "I": "1", "L": "1"})
_SEPARATORS = re.compile(r"[\s\-‐-―]+")


def random_characters(entropy: Entropy, count: int) -> str:
    """Return `count` random characters of five bits each."""
    return "".join(ALPHABET[value % 32] for value in entropy.random_bytes(count))


def strip_separators(text: str) -> str:
    """Remove spaces and dashes."""
    return _SEPARATORS.sub("", text)


def correct_lookalikes(text: str) -> str:
    """Replace O by 0, and I and L by 1, in upper-case text."""
    return text.translate(_LOOKALIKES)
