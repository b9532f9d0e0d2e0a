"""Pure rules of webhooks: allowed URLs, waits between tries, and the pause that a response requests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from app.background.outbox import Backoff
from app.webhooks.networks import Network, is_reachable

MAX_ENDPOINTS = 50
GONE = 410
NOT_FIRST = datetime(9999, 12, 31, tzinfo=UTC)
"""`due_at` of deliveries behind another one with the same ordering key; they become due when that one is settled."""
BACKOFF = Backoff([timedelta(seconds=seconds) for seconds in (5, 30, 120, 900, 3600, 4 * 3600, 12 * 3600, *[24 * 3600] * 3)], jitter=0.2)
"""Eleven tries in about four days; an endpoint that fails for five days is disabled."""
MIN_FAILURES = 3
"""Failed tries of one delivery before its endpoint is disabled. One failure after a downtime of this service proves nothing."""
MAX_PAUSE = timedelta(hours=24)
"""The longest `Retry-After` that is obeyed."""
MAX_OVERLAP = timedelta(days=30)
MAX_REPLAY = 1000
"""The largest number of events that one call replays."""


def parse_pause(status: int, retry_after: str | None, now: datetime) -> datetime | None:
    """Parse the `Retry-After` of a 429 or 503, in seconds or as a date (RFC 9110 section 10.2.3); None if there is no valid one."""
    if status not in {429, 503} or retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return now + min(timedelta(seconds=int(retry_after[:9])), MAX_PAUSE)
    try:
        until = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):  # OverflowError: an impossible time zone
        return None
    return None if until.tzinfo is None else min(max(until, now), now + MAX_PAUSE)


def find_url_fault(url: str, allowed: Sequence[Network], *, insecure: bool) -> str | None:
    """Return the fault of a receiver's URL, or None. Does not resolve the name.

    `insecure`: whether `http` is allowed.
    """
    try:
        parts, host = urlsplit(url), urlsplit(url).hostname or ""
        port = parts.port
    except ValueError:
        return "must be an absolute URL"
    return _find_syntax_fault(url, parts, port, insecure=insecure) or _find_host_fault(host, allowed)


def _find_syntax_fault(url: str, parts: SplitResult, port: int | None, *, insecure: bool) -> str | None:
    if parts.scheme != "https" and not (insecure and parts.scheme == "http"):
        return "must be an https URL"
    if not url.isascii() or any(character in url for character in ' \\"<>^`{|}'):
        return "must be percent-encoded ASCII"
    if "@" in parts.netloc:
        return "must not contain a user name or password"
    return "must not have a fragment or port 0" if "#" in url or port == 0 else None


def _find_host_fault(host: str, allowed: Sequence[Network]) -> str | None:
    """Check an IP address, or a host that a resolver would read as one. Names are checked at each delivery, after they are resolved."""
    last = host.rstrip(".").rpartition(".")[2]
    if not last:
        return "must be an absolute URL"
    if last == "localhost":
        host = "127.0.0.1"
    elif ":" not in host and not last[0].isdigit():
        return None
    try:
        canonical = str(ip_address(host))
    except ValueError:
        return "must have a host name, or an IP address in its canonical form"
    return None if is_reachable(canonical, allowed) else "must not lead into a private network"
