"""Whether a password is known from a breach, asked of a remote list without telling it: five signs of its SHA-1 leave the house.

Off unless configured. It fails open: somebody else's outage must not be ours (authentication R4). The local list is always
asked besides.
"""

from hashlib import sha1

import httpx
import structlog

PREFIX_SIGNS = 5
TIMEOUT = 1.0

log = structlog.get_logger("licentia.breaches")


async def is_breached(url: str, password: str) -> bool:
    """Ask `url`/`ABCDE` for the endings of that beginning (k-anonymity, padded, so that not even the length tells)."""
    digest = sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT) as client:
            answer = await client.get(f"{url}/{digest[:PREFIX_SIGNS]}", headers={"Add-Padding": "true"})
            answer.raise_for_status()
        return any(_names(line, digest[PREFIX_SIGNS:]) for line in answer.text.splitlines())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        log.warning("breach_lookup_failed", cause=type(error).__name__)
        return False


def _names(line: str, ending: str) -> bool:
    """`ENDING:count`; padding has a count of 0."""
    told, _, count = line.strip().partition(":")
    return told.upper() == ending and count.strip() != "0"
