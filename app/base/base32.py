"""Crockford base32, for secrets that people type: no I, L, O and U; reading forgives case, spaces, dashes and the usual mistakes."""

import re

from app.base.entropy import Entropy

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FORGIVEN = str.maketrans({"O": "0", "I": "1", "L": "1"})
_NOISE = re.compile(r"[\s\-‐-―]+")


def random_characters(entropy: Entropy, count: int) -> str:
    """So many signs, five random bits each."""
    return "".join(ALPHABET[octet % 32] for octet in entropy.random_bytes(count))


def strip_separators(text: str) -> str:
    """The text without spaces and dashes."""
    return _NOISE.sub("", text)


def correct_lookalikes(text: str) -> str:
    """O read as 0, I and L as 1, in text of capitals."""
    return text.translate(_FORGIVEN)
