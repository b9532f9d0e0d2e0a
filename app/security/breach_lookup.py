"""Check a password against a remote list of breached passwords. Only five characters of its SHA-1 are sent (k-anonymity).

Off unless configured. An outage of the remote service accepts the password (authentication R4). The local list is always checked.
"""

from hashlib import sha1

import httpx
import structlog

PREFIX_LENGTH = 5
TIMEOUT = 1.0

log = structlog.get_logger("licentia.breaches")


async def is_breached(url: str, password: str) -> bool:
    """Return whether the list at `url`/`ABCDE` contains the rest of the hash. Responses are padded, so their length reveals nothing."""
    digest = sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT) as client:
            response = await client.get(f"{url}/{digest[:PREFIX_LENGTH]}", headers={"Add-Padding": "true"})
            response.raise_for_status()
        return any(_is_listed_in(line, digest[PREFIX_LENGTH:]) for line in response.text.splitlines())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        log.warning("breach_lookup_failed", cause=type(error).__name__)
        return False


def _is_listed_in(line: str, expected: str) -> bool:
    """Return whether the line `SUFFIX:count` has the expected suffix. Padding lines have a count of 0."""
    suffix, _, count = line.strip().partition(":")
    return suffix.upper() == expected and count.strip() != "0"
