"""Network addresses in settings: checked once and normalised. Errors never repeat the value."""

import re
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from app.config.environment import PREFIX


def check_networks(networks: list[str]) -> list[str]:
    """Return the networks. Raises ValueError if one is neither an address nor a network."""
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise ValueError("must be addresses or networks such as 10.0.0.0/8, separated by commas") from error
    return networks


def include_everyone(networks: list[str]) -> bool:
    """Return whether one of the networks contains every address."""
    return any(ip_network(network).prefixlen == 0 for network in networks)


def normalise_database_url(url: str) -> str:
    """Return the URL for SQLAlchemy. Raises ValueError."""
    scheme, separator, path = url.partition(":///")
    if scheme == "sqlite+aiosqlite" and separator:
        if not path.strip("/") or path.startswith((":", "file:")) or "?" in path:
            raise ValueError("must have a file path after sqlite+aiosqlite:///, and nothing after the path")
        return url
    for prefix in ("postgres://", "postgresql://", "postgresql+asyncpg://"):
        if url.startswith(prefix):
            return _asyncpg_url(urlsplit("postgresql+asyncpg://" + url.removeprefix(prefix)))
    raise ValueError("must be postgresql://user:password@host/name or sqlite+aiosqlite:///path")


_NAME = re.compile(r"[a-z_]{1,40}")
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
_PARAMETERS = frozenset({"ssl", "host", "port", "user", "password", "passfile", "target_session_attrs", "prepared_statement_cache_size"})
"""URL parameters that asyncpg accepts as text."""
_NUMBERS = frozenset({"port", "prepared_statement_cache_size"})
_ALTERNATIVES = {
    "connect_timeout": f"{PREFIX}DATABASE_CONNECT_TIMEOUT",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
}
"""Parameters that libpq reads from the URL, but asyncpg from an environment variable."""


def _asyncpg_url(url: SplitResult) -> str:
    """Translate libpq's parameters: `sslmode` becomes `ssl`, and channel binding, which asyncpg lacks, is dropped. Raises ValueError."""
    try:
        has_valid_port = url.port != 0
    except ValueError:
        has_valid_port = False
    if not has_valid_port:
        raise ValueError("must have a port number from 1 to 65535 after the colon")
    names = {"sslmode": "ssl"}
    parameters = parse_qsl(url.query, keep_blank_values=True)
    query = [(names.get(name, name), value) for name, value in parameters if name != "channel_binding"]
    for name, value in query:
        _check_parameter(name, value)
    if len(dict(query)) != len(query):
        raise ValueError("must not have the same parameter twice")
    return f"{url.scheme}://{url.netloc}{url.path}" + (f"?{urlencode(query, safe='/')}" if query else "")


def _check_parameter(name: str, value: str) -> None:
    if name in _ALTERNATIVES:
        raise ValueError(f"must not have the parameter {name}; set the environment variable {_ALTERNATIVES[name]} instead")
    if name not in _PARAMETERS:
        raise ValueError(f"has an unknown parameter{f': {name}' if _NAME.fullmatch(name) else ''}")
    if name in _NUMBERS and not (value.isascii() and value.isdigit() and (int(value) or name != "port")):
        raise ValueError(f"must have a number for {name}")
    if name == "ssl" and value not in _SSL_MODES:
        raise ValueError("must have disable, allow, prefer, require, verify-ca or verify-full for sslmode")


def normalise_web_url(url: str) -> str:
    """Return an http or https URL without a final slash, to which paths can be appended. Raises ValueError."""
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        is_valid = False
    if not is_valid or not url.startswith(("http://", "https://")) or not url.isprintable() or any(mark in url for mark in "?# "):
        raise ValueError("must be an http or https URL with a host, without user or query, such as https://id.example.com")
    return url.rstrip("/")


def is_public_host(host: str) -> bool:
    """Return whether other machines can reach this bind address or host name."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
