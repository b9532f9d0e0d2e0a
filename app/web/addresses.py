"""IP addresses of callers: one form for each, and the group whose attempts are counted together."""

from ipaddress import ip_address, ip_network


def parse_address(text: str) -> str | None:
    """An IP address in its one form, or None: behind a proxy, `X-Forwarded-For` may carry anything (authentication R46)."""
    try:
        return str(ip_address(text.partition("%")[0]))  # a zone (RFC 4007 section 11) is of the sender's machine, not of ours
    except ValueError:
        return None


def network_group(ip: str | None) -> str:
    """Whose failures are counted together: an address, or an IPv6 /64, for that is what one customer has; `-` for all without one
    (authentication R40, R46)."""
    if ip is None:
        return "-"
    it = ip_address(ip)
    if it.version == 6 and it.ipv4_mapped is not None:
        return str(it.ipv4_mapped)
    return str(ip_network((it, 64), strict=False)) if it.version == 6 else str(it)
