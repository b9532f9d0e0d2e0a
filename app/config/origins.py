"""Checks of the origins (RFC 6454) that may use passkeys or call the API, and of the passkey domain (WebAuthn Level 3)."""

import re
from urllib.parse import urlsplit

_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NATIVE_APP = re.compile(r"(?:android:apk-key-hash:[A-Za-z0-9_-]{20,}|ios:bundle-id:[A-Za-z0-9.-]+)")
_CORS_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
"""An origin as browsers send it: lower case, without a path. Some applications have their own schemes."""
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}
"""Ports that browsers leave out of an origin."""
MAX_PORT = 65_535
LOCAL = "localhost"


def check_domain(text: str) -> str:
    """Return a relying party id: a domain name in lower case, without scheme, port or final dot. Raises ValueError."""
    if not _DOMAIN.fullmatch(text) or text.replace(".", "").isdigit():
        raise ValueError("must be a domain name such as example.com")
    return text


def check_passkey_origins(origins: list[str]) -> list[str]:
    """Return the origins. Raises ValueError if one is neither an https origin nor that of a native application."""
    for origin in origins:
        if not _NATIVE_APP.fullmatch(origin) and not _is_web_origin(origin):
            raise ValueError("must be origins such as https://login.example.com or android:apk-key-hash:…, separated by commas")
    return origins


def check_cors_origins(origins: list[str]) -> list[str]:
    """Return the origins, or `*` for all. Raises ValueError for one that no browser sends, and for `null`, which any page can send."""
    for origin in origins:
        match = _CORS_ORIGIN.fullmatch(origin)
        if origin != "*" and (match is None or match.groups() in _DEFAULT_PORTS or int(match[2] or 0) > MAX_PORT):
            raise ValueError("must be `*`, or origins such as https://app.example.com without a path, separated by commas")
    return origins


def _is_web_origin(origin: str) -> bool:
    """Return whether the origin is `https://host[:port]` as a browser sends it; `http` is allowed for localhost only."""
    url = urlsplit(origin)
    try:
        port = "" if url.port is None else f":{url.port}"
    except ValueError:
        return False
    if f"{url.scheme}://{url.hostname}{port}" != origin or not _DOMAIN.fullmatch(url.hostname or ""):
        return False
    return url.scheme == "https" or (url.scheme == "http" and url.hostname == LOCAL)


def any_plain_http(origins: list[str]) -> bool:
    return any(origin.startswith("http://") for origin in origins)


def find_relying_party_faults(rp_id: str | None, origins: list[str]) -> list[tuple[str, str]]:
    """Return (variable, sentence) of settings that contradict each other. Passkeys need both, and every origin must match the domain."""
    if rp_id is None and origins:
        return [("WEBAUTHN_RP_ID", "is required for passkeys")]
    if rp_id is not None and not origins:
        return [("WEBAUTHN_ORIGINS", "is required for passkeys")]
    if rp_id is not None and not all(_matches_domain(rp_id, origin) for origin in origins):
        return [("WEBAUTHN_ORIGINS", "must be origins of LICENTIA_WEBAUTHN_RP_ID or of its subdomains")]
    return []


def _matches_domain(rp_id: str, origin: str) -> bool:
    """Return whether a page of this origin may use the passkeys of the domain.

    A native application always matches: the platform checks it with a file that the domain publishes.
    """
    host = urlsplit(origin).hostname or ""
    return bool(_NATIVE_APP.fullmatch(origin)) or host == rp_id or host.endswith(f".{rp_id}")
