"""Normalizes IP addresses of callers, and groups the addresses whose attempts are counted together."""

from ipaddress import ip_address, ip_network


def parse_address(text: str) -> str | None:
    """Return an IP address in its normal form; None for other text, as `X-Forwarded-For` may carry anything (authentication R46)."""
    try:
        return str(ip_address(text.partition("%")[0]))  # a zone (RFC 4007 section 11) means something only on the sender's machine
    except ValueError:
        return None


def network_group(ip: str | None) -> str:
    """Return the group whose failures are counted together: an IPv4 address, or an IPv6 /64, the usual assignment to one customer.

    `-` for all callers without an address (authentication R40, R46).
    """
    if ip is None:
        return "-"
    address = ip_address(ip)
    if address.version == 6 and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
