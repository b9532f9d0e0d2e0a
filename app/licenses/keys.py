"""License keys and activation codes: how they look, how a typo is told from an unknown one, how they are looked up again.

Crockford base32 without I, L, O and U; the last sign is a Luhn mod 32 check. Reading forgives case, spaces, dashes and the
usual mistakes (O for 0, I and L for 1). A vendor's own keys, brought from elsewhere, are read as forgivingly but have no check.
"""

import re
import unicodedata
from dataclasses import dataclass, field

from app.base.base32 import ALPHABET, correct_lookalikes, random_characters, strip_separators
from app.base.entropy import Entropy
from app.security.sealing import LookupKey

_VALUE = {sign: value for value, sign in enumerate(ALPHABET)}
_PREFIX = re.compile(r"[A-Z0-9]{2,16}", re.ASCII)
KEY_LENGTH = 25
CODE_LENGTH = 12
VENDOR_KEY_MIN, VENDOR_KEY_MAX = 6, 255
"""How many characters a vendor's own key has."""


@dataclass(frozen=True)
class NewSecret:
    """A fresh secret as it is shown once, the digest it is stored as, and its last four signs."""

    text: str = field(repr=False)
    digest: bytes
    last4: str


def compute_check_character(signs: str) -> str:
    """The Luhn mod N check sign (N = 32): catches every single wrong sign and nearly every swap of neighbours."""
    total, double = 0, True
    for sign in reversed(signs):
        value = _VALUE[sign] * (2 if double else 1)
        total += value // 32 + value % 32
        double = not double
    return ALPHABET[-total % 32]


def generate_key(entropy: Entropy, lookup: LookupKey, prefix: str) -> NewSecret:
    """`PREFIX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX`: 120 random bits and a check sign."""
    signs = random_characters(entropy, KEY_LENGTH - 1)
    signs += compute_check_character(signs)
    groups = [signs[start : start + 5] for start in range(0, KEY_LENGTH, 5)]
    return NewSecret("-".join([prefix, *groups]), lookup.digest("license_key", signs), signs[-4:])


def generate_code(entropy: Entropy, lookup: LookupKey) -> NewSecret:
    """`XXXX-XXXX-XXXX`: 55 random bits and a check sign."""
    signs = random_characters(entropy, CODE_LENGTH - 1)
    signs += compute_check_character(signs)
    return NewSecret("-".join((signs[:4], signs[4:8], signs[8:])), lookup.digest("activation_code", signs), signs[-4:])


def key_prefix(product_code: str) -> str:
    """The product's code as the readable head of its keys; it carries no secret and is not looked at when reading."""
    return (re.sub(r"[^A-Z0-9]", "", product_code.upper())[:12] or "KEY").ljust(2, "X")


def normalize_vendor_key(text: str) -> str:
    """A vendor's own key in its one form: NFKC, upper case, no spaces, dashes or invisible signs, O, I and L folded (licensing R49)."""
    return correct_lookalikes(_plain(text).upper())


def _plain(text: str) -> str:
    whole = unicodedata.normalize("NFKC", text.encode(errors="replace").decode())
    return "".join(sign for sign in strip_separators(whole) if unicodedata.category(sign) != "Cf")  # nobody sees or types those


def import_vendor_key(lookup: LookupKey, text: str) -> NewSecret:
    """A key that the vendor brings. It is looked up like any other; `last4` is as it was written, in capitals."""
    return NewSecret(text, digest_key(lookup, text), _plain(text).upper()[-4:])


def last4_forms(typed: str) -> set[str]:
    """What the last four signs of a key may be stored as, when they are typed like this."""
    return {typed.upper(), correct_lookalikes(typed.upper())}


def digest_key(lookup: LookupKey, text: str) -> bytes:
    """What a typed key is looked up by. Whatever is no key of ours is taken for a vendor's own: one path, one answer (licensing R53)."""
    signs = read(text, KEY_LENGTH)
    return lookup.digest("license_key", signs) if signs else lookup.digest("own_license_key", normalize_vendor_key(text))


def digest_code(lookup: LookupKey, text: str) -> bytes:
    """What a typed activation code is looked up by."""
    return lookup.digest("activation_code", read(text, CODE_LENGTH) or f"?{len(text)}")


def read(text: str, signs: int) -> str | None:
    """The last `signs` signs in their one form, or None when it cannot be such a secret (wrong length, sign or check)."""
    bare = strip_separators(text).upper()
    head, tail = bare[:-signs], correct_lookalikes(bare[-signs:])
    if len(tail) != signs or (head and (signs == CODE_LENGTH or not _PREFIX.fullmatch(head))):
        return None
    if not _VALUE.keys() >= set(tail) or compute_check_character(tail[:-1]) != tail[-1]:
        return None
    return tail
