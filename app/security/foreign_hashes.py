"""Imported password hashes: the accepted formats and their cost limits (authentication R9).

A hash states how much memory and time its check takes, so an import could be a denial of service. The cost is checked at import
and again before each verification.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

PHPASS_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MAX_MEMORY_KIB = 131_072
MAX_PBKDF2_ROUNDS = 10_000_000
BCRYPT_MAX_BYTES = 72

CostCheck: TypeAlias = Callable[[Sequence[str]], bool]


@dataclass(frozen=True)
class HashFormat:
    """One accepted format. `start` matches the beginning of a hash with its costs; `is_affordable` checks these costs."""

    scheme: str
    start: re.Pattern[str]
    is_affordable: CostCheck


def _is_argon2_affordable(cost: Sequence[str]) -> bool:
    memory, time, lanes = (int(part) for part in cost)
    return memory <= MAX_MEMORY_KIB and time <= 10 and lanes <= 16


def _is_scrypt_affordable(cost: Sequence[str]) -> bool:
    log_n, block, lanes = (int(part) for part in cost)
    return log_n <= 17 and block <= 8 and lanes <= 10


def _is_bcrypt_affordable(cost: Sequence[str]) -> bool:
    return int(cost[0]) <= 15


def _is_pbkdf2_affordable(cost: Sequence[str]) -> bool:
    return int(cost[0]) <= MAX_PBKDF2_ROUNDS


def _is_phpass_affordable(cost: Sequence[str]) -> bool:
    return PHPASS_ALPHABET.index(cost[0]) <= 20


def _make_format(scheme: str, start: str, is_affordable: CostCheck) -> HashFormat:
    return HashFormat(scheme, re.compile(start, re.ASCII), is_affordable)


FORMATS: tuple[HashFormat, ...] = (
    _make_format("argon2", r"\$argon2(?:id|i|d)\$(?:v=\d+\$)?m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$", _is_argon2_affordable),
    _make_format("bcrypt", r"\$2[abxy]\$(\d\d)\$", _is_bcrypt_affordable),
    _make_format("django_bcrypt_sha256", r"bcrypt_sha256\$\$2[abxy]\$(\d\d)\$", _is_bcrypt_affordable),
    _make_format("pbkdf2_sha512", r"\$pbkdf2-sha512\$(\d{1,9})\$", _is_pbkdf2_affordable),
    _make_format("pbkdf2_sha256", r"\$pbkdf2-sha256\$(\d{1,9})\$", _is_pbkdf2_affordable),
    _make_format("pbkdf2_sha1", r"\$pbkdf2\$(\d{1,9})\$", _is_pbkdf2_affordable),
    _make_format("django_pbkdf2_sha256", r"pbkdf2_sha256\$(\d{1,9})\$", _is_pbkdf2_affordable),
    _make_format("django_pbkdf2_sha1", r"pbkdf2_sha1\$(\d{1,9})\$", _is_pbkdf2_affordable),
    _make_format("scrypt", r"\$scrypt\$ln=(\d{1,3}),r=(\d{1,6}),p=(\d{1,6})\$", _is_scrypt_affordable),
    _make_format("phpass", r"\$[PH]\$([./0-9A-Za-z])", _is_phpass_affordable),
)
SCHEMES = [hash_format.scheme for hash_format in FORMATS]


def unwrap_django_hash(stored: str) -> str:
    """Remove Django's prefix of Argon2 and bcrypt hashes; the rest is an ordinary hash."""
    if stored.startswith("argon2$argon2"):
        return "$" + stored.removeprefix("argon2$")
    return stored.removeprefix("bcrypt$") if stored.startswith("bcrypt$$2") else stored


def find_format(stored: str) -> HashFormat | None:
    return next((hash_format for hash_format in FORMATS if hash_format.start.match(stored)), None)


def read_cost(stored: str) -> str | None:
    """Return the beginning of a hash with its scheme and costs (`$2b$12$`), or None. Hashes with equal costs take the same time."""
    hash_format = find_format(stored)
    match = hash_format.start.match(stored) if hash_format is not None else None
    return match[0] if match is not None else None


def is_affordable(stored: str) -> bool:
    """Return whether a check of the hash is within the cost limits. False for an unknown format."""
    hash_format = find_format(stored)
    match = hash_format.start.match(stored) if hash_format is not None else None
    return hash_format is not None and match is not None and hash_format.is_affordable(match.groups())
