"""Normalizes the IP addresses of clients, and groups those whose attempts are counted together."""

from ipaddress import ip_address, ip_network


def parse_address(text: str) -> str | None:
    """The canonical form of an IP address; None for other text, because `X-Forwarded-For` may carry anything (authentication R46)."""
    try:
        return str(ip_address(text.partition("%")[0]))  # a zone (RFC 4007 section 11) has a meaning on the sender's machine only
    except ValueError:
        return None


def network_group(ip: str | None) -> str:
    """The group of an address: itself, or its /64 for IPv6, which one customer usually has; `-` without an address
    (authentication R40, R46)."""
    if ip is None:
        return "-"
    address = ip_address(ip)
    if address.version == 6 and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
