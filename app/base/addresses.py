"""The addresses that a configuration names: read once, brought into one form, and never repeated when they are wrong."""

from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit


def networks(listed: list[str]) -> list[str]:
    for item in listed:
        try:
            ip_network(item)
        except ValueError as wrong:
            raise ValueError("wants addresses or networks such as 10.0.0.0/8, with commas between") from wrong
    return listed


def database_address(url: str) -> str:
    if url.startswith("sqlite+aiosqlite:///") and url.partition(":///")[2].strip("/"):
        return url
    for plain in ("postgres://", "postgresql://", "postgresql+asyncpg://"):
        if url.startswith(plain):
            return _asyncpg(urlsplit("postgresql+asyncpg://" + url.removeprefix(plain)))
    raise ValueError("wants postgresql://… or sqlite+aiosqlite:///path")


def _asyncpg(url: SplitResult) -> str:
    """The address as the driver wants it: what libpq calls `sslmode` is its `ssl`; it knows no channel binding."""
    try:
        _ = url.port
    except ValueError:
        raise ValueError("wants a port number after the host") from None
    names = {"sslmode": "ssl"}
    query = [(names.get(name, name), value) for name, value in parse_qsl(url.query) if name != "channel_binding"]
    return urlunsplit(url._replace(query=urlencode(query, safe="/")))


def web_address(url: str) -> str:
    if not url.startswith(("http://", "https://")) or any(mark in url for mark in "?# "):
        raise ValueError("wants an http or https address without query")
    return url.rstrip("/")


WELL_KNOWN = frozenset(
    {"password", "postgres", "postgresql", "licentia", "secret", "changeme", "change-me", "admin", "root", "test", "example"}
)


def weak_password(url: str) -> bool:
    """Whether the password in an address is the user's own name or one that everybody tries; none at all is the server's business."""
    told = urlsplit(url)
    return told.password is not None and unquote(told.password).lower() in WELL_KNOWN | {unquote(told.username or "").lower(), ""}


def public(host: str) -> bool:
    """Whether a bind or an address is for others than this machine."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
