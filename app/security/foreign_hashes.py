"""Password hashes that other systems made: which forms are taken, and how dear each may be (authentication R9).

A stored hash says how much memory and time its check takes, so an import could be a denial of service: it is judged when it comes
in, and again before each check.
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
    """How a hash of a scheme begins, and whether the costs that it names are within bounds."""

    scheme: str
    start: re.Pattern[str]
    is_affordable: CostCheck


def _argon2(cost: Sequence[str]) -> bool:
    memory, time, lanes = (int(part) for part in cost)
    return memory <= MAX_MEMORY_KIB and time <= 10 and lanes <= 16


def _scrypt(cost: Sequence[str]) -> bool:
    log_n, block, lanes = (int(part) for part in cost)
    return log_n <= 17 and block <= 8 and lanes <= 10


def _bcrypt(cost: Sequence[str]) -> bool:
    return int(cost[0]) <= 15


def _pbkdf2(cost: Sequence[str]) -> bool:
    return int(cost[0]) <= MAX_PBKDF2_ROUNDS


def _phpass(cost: Sequence[str]) -> bool:
    return PHPASS_ALPHABET.index(cost[0]) <= 20


def _form(scheme: str, start: str, is_affordable: CostCheck) -> HashFormat:
    return HashFormat(scheme, re.compile(start, re.ASCII), is_affordable)


FORMATS: tuple[HashFormat, ...] = (
    _form("argon2", r"\$argon2(?:id|i|d)\$(?:v=\d+\$)?m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$", _argon2),
    _form("bcrypt", r"\$2[abxy]\$(\d\d)\$", _bcrypt),
    _form("django_bcrypt_sha256", r"bcrypt_sha256\$\$2[abxy]\$(\d\d)\$", _bcrypt),
    _form("pbkdf2_sha512", r"\$pbkdf2-sha512\$(\d{1,9})\$", _pbkdf2),
    _form("pbkdf2_sha256", r"\$pbkdf2-sha256\$(\d{1,9})\$", _pbkdf2),
    _form("pbkdf2_sha1", r"\$pbkdf2\$(\d{1,9})\$", _pbkdf2),
    _form("django_pbkdf2_sha256", r"pbkdf2_sha256\$(\d{1,9})\$", _pbkdf2),
    _form("django_pbkdf2_sha1", r"pbkdf2_sha1\$(\d{1,9})\$", _pbkdf2),
    _form("scrypt", r"\$scrypt\$ln=(\d{1,3}),r=(\d{1,6}),p=(\d{1,6})\$", _scrypt),
    _form("phpass", r"\$[PH]\$([./0-9A-Za-z])", _phpass),
)
SCHEMES = [form.scheme for form in FORMATS]


def unwrap_django_hash(stored: str) -> str:
    """Django's wrapping of Argon2 and bcrypt taken off: what is inside is the ordinary hash."""
    if stored.startswith("argon2$argon2"):
        return "$" + stored.removeprefix("argon2$")
    return stored.removeprefix("bcrypt$") if stored.startswith("bcrypt$$2") else stored


def find_format(stored: str) -> HashFormat | None:
    return next((form for form in FORMATS if form.start.match(stored)), None)


def read_cost(stored: str) -> str | None:
    """The scheme and the costs that a hash names, as it names them (`$2b$12$`): hashes with the same take the same time."""
    form = find_format(stored)
    found = form.start.match(stored) if form is not None else None
    return found[0] if found is not None else None


def is_affordable(stored: str) -> bool:
    """Whether checking it costs no more than we are ready to pay. False for a form that is not known."""
    form = find_format(stored)
    found = form.start.match(stored) if form is not None else None
    return form is not None and found is not None and form.is_affordable(found.groups())
