"""What is as good as no secret: keys that were typed or counted out rather than drawn, and passwords of services that are tried first.

Of drawn keys these rules refuse less than one in a million, of drawn passwords of ten signs some ten in 100,000: whoever meets that draws
another.
"""

from collections.abc import Sequence
from itertools import groupby, pairwise
from urllib.parse import parse_qsl, unquote, urlsplit

from app.config.password_blocklist import find_fault

PRINTABLE = frozenset(range(0x20, 0x7F))
FEWEST_PRINTABLE = 27
FEWEST_DIFFERENT = 21
SHORTEST = 8
FEWEST_SIGNS = 5
FEWEST_STEPS = 3
LONGEST_RUN = 4
# fmt: off
WORDS = (
    "1q2w3e4r", "1qaz2wsx", "acme", "administrator", "admin", "asdfgh", "autumn", "bearer", "change_me", "changeit", "company",
    "database", "default", "dragon", "example", "guest", "iloveyou", "letmein", "licence", "license", "licentia", "metrics", "monkey",
    "mysql", "passphrase", "password", "passwort", "pass", "postgresql", "postgres", "production", "prometheus", "q1w2e3r4", "qazwsx",
    "qwerty", "replaceme", "replace", "please", "root", "secret", "server", "service", "spring", "summer", "temp", "test", "token",
    "user", "welcome", "winter", "zaq12wsx", "zxcvbn",
)
# fmt: on
"""What passwords of services are made of when nobody draws them."""
_SPELT = str.maketrans("@4013$5", "aaoiess")


def guessable_key(key: bytes) -> bool:
    """Whether somebody typed the key's bytes, counted them out, wrote few of them over and over, or filled them up."""
    return len(set(key)) < FEWEST_DIFFERENT or len(_steps(key)) < FEWEST_DIFFERENT or _run(key) > LONGEST_RUN or _text(key)


def _run(octets: bytes) -> int:
    """How often one byte stands behind itself at most; five times in 32 random ones less than once in 10^8."""
    return max(len(list(same)) for _, same in groupby(octets))


def _steps(octets: bytes) -> set[int]:
    return {(later - earlier) % 256 for earlier, later in pairwise(octets)}


def _text(key: bytes) -> bool:
    """32 random bytes are UTF-8 less than once in 10^7 times, whatever signs it would be; and so seldom nearly all printable."""
    try:
        key.decode()
    except UnicodeDecodeError:
        return sum(octet in PRINTABLE for octet in key) >= FEWEST_PRINTABLE
    return True


def guessable(secret: str, words: Sequence[str] = ()) -> bool:
    """Whether a password or token is short, of few signs, or made of a word of `words` or of those that everybody tries."""
    few = len(secret.strip()) < SHORTEST or len(set(secret)) < FEWEST_SIGNS or len(_steps(secret.encode())) < FEWEST_STEPS
    return few or any(find_fault(it, (*WORDS, *words)) is not None for it in (secret, secret.lower().translate(_SPELT)))


def guessable_in(url: str) -> bool:
    """Whether the password in an address, before its host or in its query, is one of these; none at all is the server's business."""
    told = urlsplit(url)
    query = dict(parse_qsl(told.query, keep_blank_values=True))
    passwords = [unquote(it) for it in (told.password, query.get("password")) if it is not None]
    users = [unquote(it) for it in (told.username, query.get("user")) if it]
    return any(guessable(password, users) for password in passwords)
