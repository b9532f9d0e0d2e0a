"""License keys and activation codes: their format, their check character, and the digests by which they are looked up.

Crockford base32 without I, L, O and U; the last character is a Luhn mod 32 check. Reading ignores case, spaces and dashes, and
accepts common typing mistakes (O for 0, I and L for 1). A vendor's own keys are read just as tolerantly but have no check character.
"""

import re
import unicodedata
from dataclasses import dataclass, field

from app.base.base32 import ALPHABET, correct_lookalikes, random_characters, strip_separators
from app.base.entropy import Entropy
from app.security.sealing import LookupKey

_VALUE = {character: value for value, character in enumerate(ALPHABET)}
_PREFIX = re.compile(r"[A-Z0-9]{2,16}", re.ASCII)
KEY_LENGTH = 25
CODE_LENGTH = 12
"""Characters of a generated key or code, including the check character."""
VENDOR_KEY_MIN, VENDOR_KEY_MAX = 6, 255
"""The length of a vendor's own key, in characters."""


@dataclass(frozen=True)
class NewSecret:
    """A new key or code: its text, which is shown once, the digest to store, and its last four characters."""

    text: str = field(repr=False)
    digest: bytes
    last4: str


def compute_check_character(characters: str) -> str:
    """Compute the Luhn mod N check character (N = 32); it catches every single wrong character and nearly every swap of neighbours."""
    total, double = 0, True
    for character in reversed(characters):
        value = _VALUE[character] * (2 if double else 1)
        total += value // 32 + value % 32
        double = not double
    return ALPHABET[-total % 32]


def generate_key(entropy: Entropy, lookup: LookupKey, prefix: str) -> NewSecret:
    """Generate `PREFIX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX`: 120 random bits and a check character."""
    characters = random_characters(entropy, KEY_LENGTH - 1)
    characters += compute_check_character(characters)
    groups = [characters[start : start + 5] for start in range(0, KEY_LENGTH, 5)]
    return NewSecret("-".join([prefix, *groups]), lookup.digest("license_key", characters), characters[-4:])


def generate_code(entropy: Entropy, lookup: LookupKey) -> NewSecret:
    """Generate `XXXX-XXXX-XXXX`: 55 random bits and a check character."""
    characters = random_characters(entropy, CODE_LENGTH - 1)
    characters += compute_check_character(characters)
    text = "-".join((characters[:4], characters[4:8], characters[8:]))
    return NewSecret(text, lookup.digest("activation_code", characters), characters[-4:])


def derive_key_prefix(product_code: str) -> str:
    """Derive the readable prefix of a product's keys from its code. The prefix is no secret and is ignored when a key is read."""
    return (re.sub(r"[^A-Z0-9]", "", product_code.upper())[:12] or "KEY").ljust(2, "X")


def normalize_vendor_key(text: str) -> str:
    """Normalize a vendor's own key: NFKC, upper case, no spaces, dashes or invisible characters, O, I and L folded (licensing R49)."""
    return correct_lookalikes(_strip(text).upper())


def _strip(text: str) -> str:
    normalized = unicodedata.normalize("NFKC", text.encode(errors="replace").decode())
    visible = (character for character in strip_separators(normalized) if unicodedata.category(character) != "Cf")
    return "".join(visible)


def import_vendor_key(lookup: LookupKey, text: str) -> NewSecret:
    """Accept a key that the vendor supplies. It is looked up like any other; `last4` keeps its characters, in upper case."""
    return NewSecret(text, digest_key(lookup, text), _strip(text).upper()[-4:])


def list_last4_forms(typed: str) -> set[str]:
    """Return the forms in which these last four characters of a key can be stored."""
    return {typed.upper(), correct_lookalikes(typed.upper())}


def digest_key(lookup: LookupKey, text: str) -> bytes:
    """Compute the digest by which a typed key is looked up.

    Text that is not in the generated format is read as a vendor's own key, so every wrong key takes the same path (licensing R53).
    """
    characters = parse_secret(text, KEY_LENGTH)
    return lookup.digest("license_key", characters) if characters else lookup.digest("own_license_key", normalize_vendor_key(text))


def digest_code(lookup: LookupKey, text: str) -> bytes:
    """Compute the digest by which a typed activation code is looked up."""
    return lookup.digest("activation_code", parse_secret(text, CODE_LENGTH) or f"?{len(text)}")


def parse_secret(text: str, length: int) -> str | None:
    """Return the last `length` characters in normal form, or None if length, alphabet or check character are wrong."""
    compact = strip_separators(text).upper()
    head, tail = compact[:-length], correct_lookalikes(compact[-length:])
    if len(tail) != length or (head and (length == CODE_LENGTH or not _PREFIX.fullmatch(head))):
        return None
    if not _VALUE.keys() >= set(tail) or compute_check_character(tail[:-1]) != tail[-1]:
        return None
    return tail
