"""The addresses that a configuration names: read once, brought into one form, and never repeated when they are wrong."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from app.config.environment import PREFIX


def check_networks(listed: list[str]) -> list[str]:
    for item in listed:
        try:
            ip_network(item)
        except ValueError as wrong:
            raise ValueError("wants addresses or networks such as 10.0.0.0/8, with commas between") from wrong
    return listed


_MAPPED = IPv6Network("::ffff:0:0/96")  # all of IPv4 once more
_WIDEST = {4: 2**24, 6: 2**112}
"""Public addresses that proxies may have together: a /8, and a /16 of IPv6. Whoever has more is not who forwards, but everybody."""


def everybody(listed: list[str]) -> bool:
    """Whether networks have so many public addresses together that they shut nobody out."""
    fours, sixes = list[IPv4Network](), list[IPv6Network]()
    for network in map(ip_network, listed):
        if isinstance(network, IPv4Network):
            fours.append(network)
        elif network.subnet_of(_MAPPED):
            fours.append(IPv4Network((int(network.network_address) % 2**32, network.prefixlen - 96)))
        else:
            sixes.append(network)
    return _many(collapse_addresses(fours), _WIDEST[4]) or _many(collapse_addresses(sixes), _WIDEST[6])


def _many(apart: Iterable[IPv4Network | IPv6Network], most: int) -> bool:
    return sum(network.num_addresses for network in apart if not network.is_private) > most


def normalise_database_url(url: str) -> str:
    scheme, there, path = url.partition(":///")
    if scheme == "sqlite+aiosqlite" and there:
        if not path.strip("/") or path.startswith((":", "file:")) or "?" in path:
            raise ValueError("wants the path of a file after sqlite+aiosqlite:///, and nothing behind it")
        return url
    for plain in ("postgres://", "postgresql://", "postgresql+asyncpg://"):
        if url.startswith(plain):
            return _asyncpg(urlsplit("postgresql+asyncpg://" + url.removeprefix(plain)))
    raise ValueError("wants postgresql://… or sqlite+aiosqlite:///path")


_NAME = re.compile(r"[a-z_]{1,40}")
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
_TAKEN = frozenset({"ssl", "host", "port", "user", "password", "passfile", "target_session_attrs", "prepared_statement_cache_size"})
"""What the driver takes as text."""
_NUMBERS = frozenset({"port", "prepared_statement_cache_size"})
_INSTEAD = {
    "connect_timeout": f"{PREFIX}DATABASE_CONNECT_TIMEOUT",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
}
"""What an address says to libpq and the environment says to the driver."""


def _asyncpg(url: SplitResult) -> str:
    """The address as the driver wants it: what libpq calls `sslmode` is its `ssl`; it knows no channel binding."""
    try:
        sound = url.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("wants a port number after the host")
    names = {"sslmode": "ssl"}
    told = parse_qsl(url.query, keep_blank_values=True)
    query = [(names.get(name, name), value) for name, value in told if name != "channel_binding"]
    for name, value in query:
        _must_be_taken(name, value)
    if len(dict(query)) != len(query):
        raise ValueError("has a parameter twice")
    return f"{url.scheme}://{url.netloc}{url.path}" + (f"?{urlencode(query, safe='/')}" if query else "")


def _must_be_taken(name: str, value: str) -> None:
    if name in _INSTEAD:
        raise ValueError(f"has a parameter {name}, which is said by {_INSTEAD[name]} in the environment")
    if name not in _TAKEN:
        raise ValueError(f"has a parameter that the driver does not know: {name if _NAME.fullmatch(name) else 'of no usual name'}")
    if name in _NUMBERS and not (value.isascii() and value.isdigit() and (int(value) or name != "port")):
        raise ValueError(f"wants a number for {name}")
    if name == "ssl" and value not in _SSL_MODES:
        raise ValueError("wants one of disable, allow, prefer, require, verify-ca and verify-full for sslmode")


def normalise_web_url(url: str) -> str:
    """An address that others are told and that paths are put behind."""
    try:
        told = urlsplit(url)
        sound = bool(told.hostname) and told.port != 0 and "@" not in told.netloc
    except ValueError:
        sound = False
    if not sound or not url.startswith(("http://", "https://")) or not url.isprintable() or any(mark in url for mark in "?# "):
        raise ValueError("wants an http or https address with a host, without user and query")
    return url.rstrip("/")


def is_public_host(host: str) -> bool:
    """Whether a bind or an address is for others than this machine."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
