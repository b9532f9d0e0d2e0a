"""Where events may be sent, when to try again, and what an answer means. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from app.webhooks.networks import Network, reachable

ENDPOINTS = 50
GONE = 410
BEHIND = datetime(9999, 12, 31, tzinfo=UTC)
"""When those are due that wait behind another of their line: whoever settles that one says when."""
WAITS = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 900, 3600, 4 * 3600, 12 * 3600, *[24 * 3600] * 3))
"""After the first miss, the second, …: eleven tries in some four days, before an endpoint that fails for five is disabled."""
SURE = 3
"""Misses that a delivery itself must have had before its endpoint is disabled for failing: days ago it may be we who were away."""
JITTER = 0.2
"""How much of a wait may be added to it by chance, so that what failed together does not come back together."""
LONGEST_PAUSE = timedelta(hours=24)
"""However long a receiver asks to be left alone."""


LONGEST_OVERLAP = timedelta(days=30)
REPLAYED = 1000
"""Events that one call replays at most."""


def next_try(tries: int, chance: float, now: datetime) -> datetime | None:
    """When to try again after this many tries; None when it is time to give up. `chance` is from 0 to 1."""
    return now + WAITS[tries - 1] * (1 + JITTER * chance) if tries <= len(WAITS) else None


def pause(status: int, retry_after: str | None, now: datetime) -> datetime | None:
    """Until when the receiver wants to be left alone: Retry-After of a 429 or 503, in seconds or as a date (RFC 9110 section 10.2.3)."""
    if status not in {429, 503} or retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return now + min(timedelta(seconds=int(retry_after[:9])), LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):  # the latter for a zone that lies beyond any day
        return None
    return None if until.tzinfo is None else min(max(until, now), now + LONGEST_PAUSE)


def fault(url: str, allowed: Sequence[Network], *, insecure: bool) -> str | None:
    """What is wrong with the address of a receiver as far as it can be told without asking for its name; None if nothing is.

    `insecure`: whether `http` will do.
    """
    try:
        parts, host = urlsplit(url), urlsplit(url).hostname or ""
        port = parts.port
    except ValueError:
        return "wants an absolute address"
    return _form_fault(url, parts, port, insecure=insecure) or _host_fault(host, allowed)


def _form_fault(url: str, parts: SplitResult, port: int | None, *, insecure: bool) -> str | None:
    if parts.scheme != "https" and not (insecure and parts.scheme == "http"):
        return "wants an https address"
    if not url.isascii() or any(sign in url for sign in ' \\"<>^`{|}'):
        return "wants an address in its ASCII form"
    if "@" in parts.netloc:
        return "wants an address without user and password"
    return "wants an address without a fragment, and a port above 0" if "#" in url or port == 0 else None


def _host_fault(host: str, allowed: Sequence[Network]) -> str | None:
    """A name is judged when it is resolved, at each delivery; an address and what every resolver takes for one is judged here too."""
    last = host.rstrip(".").rpartition(".")[2]
    if not last:
        return "wants an absolute address"
    if last == "localhost":
        host = "127.0.0.1"
    elif ":" not in host and not last[0].isdigit():
        return None
    try:
        canonical = str(ip_address(host))
    except ValueError:
        return "wants a name, or an IP address in its usual form"
    return None if reachable(canonical, allowed) else "leads into a network that is not allowed"
