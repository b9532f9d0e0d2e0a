"""From where a passkey may be shown, and which pages may call: web origins (RFC 6454), and for passkeys those of native applications,
under one domain (WebAuthn Level 3)."""

import re
from urllib.parse import urlsplit

_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NATIVE = re.compile(r"(?:android:apk-key-hash:[A-Za-z0-9_-]{20,}|ios:bundle-id:[A-Za-z0-9.-]+)")
_CALLER = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
"""As a browser writes it: lower case, and no path. Some applications have schemes of their own."""
_LEFT_OUT = {("http", "80"), ("https", "443")}
"""The ports that a browser does not write."""
LAST_PORT = 65_535
LOCAL = "localhost"


def check_domain(text: str) -> str:
    """A relying party's id: a domain name in lower case, without scheme, port or final dot."""
    if not _DOMAIN.fullmatch(text) or text.replace(".", "").isdigit():
        raise ValueError("wants a domain name such as example.com")
    return text


def check_passkey_origins(listed: list[str]) -> list[str]:
    for item in listed:
        if not _NATIVE.fullmatch(item) and not _web(item):
            raise ValueError("wants origins such as https://login.example.com or android:apk-key-hash:…, with commas between")
    return listed


def check_cors_origins(listed: list[str]) -> list[str]:
    """Origins of pages, or `*` for all. One that no browser ever sends would let nobody in, and `null` whoever hides."""
    for item in listed:
        found = _CALLER.fullmatch(item)
        if item != "*" and (found is None or found.groups() in _LEFT_OUT or int(found[2] or 0) > LAST_PORT):
            raise ValueError("wants `*`, or origins such as https://app.example.com without a path, with commas between")
    return listed


def _web(origin: str) -> bool:
    """`https://host[:port]` as a browser says it; `http` for this machine alone."""
    it = urlsplit(origin)
    try:
        port = "" if it.port is None else f":{it.port}"
    except ValueError:
        return False
    plain = f"{it.scheme}://{it.hostname}{port}" == origin
    return plain and (it.scheme == "https" or (it.scheme == "http" and it.hostname == LOCAL)) and bool(_DOMAIN.fullmatch(it.hostname or ""))


def any_plain_http(origins: list[str]) -> bool:
    return any(origin.startswith("http://") for origin in origins)


def find_relying_party_faults(rp_id: str | None, origins: list[str]) -> list[tuple[str, str]]:
    """(variable, sentence) of what does not go together: passkeys are off without both, and no browser shows ours to other domains."""
    if rp_id is None and origins:
        return [("WEBAUTHN_RP_ID", "is required where passkeys are taken")]
    if rp_id is not None and not origins:
        return [("WEBAUTHN_ORIGINS", "is required where passkeys are taken")]
    if rp_id is not None and not all(_covers(rp_id, origin) for origin in origins):
        return [("WEBAUTHN_ORIGINS", "wants origins of LICENTIA_WEBAUTHN_RP_ID or of names below it")]
    return []


def _covers(rp_id: str, origin: str) -> bool:
    """Whether a browser lets a page of this origin ask for passkeys of ours; a native application is vouched for by a file there."""
    host = urlsplit(origin).hostname or ""
    return bool(_NATIVE.fullmatch(origin)) or host == rp_id or host.endswith(f".{rp_id}")
