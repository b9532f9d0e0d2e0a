"""Which network addresses are anybody's. The rest is somebody's inside, and nothing is sent there unless it was allowed (SSRF)."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_UNICAST = IPv6Network("2000::/3")  # RFC 4291 section 2.4: all that is global today
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address for hosts that have IPv6 alone
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 section 2.5.5.1, long out of use
_LATER = (IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20"))
"""What the standard library does not know yet: the relays of 6to4 (RFC 7526), documentation (RFC 9637)."""


def networks(listed: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(item) for item in listed)


def reachable(address: str, allowed: Sequence[Network]) -> bool:
    """Whether something may be sent to this address: it is global, and so is whatever IPv4 address hides in it; or each lies in an
    allowed network. Text that is no address, or has a zone, is never reachable."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if "%" in address:
        return False
    return all(_allowed(it, allowed) or _global(it) for it in _forms(found))


def _allowed(it: Address, allowed: Sequence[Network]) -> bool:
    return any(it.version == network.version and it in network for network in allowed)


def _forms(it: Address) -> Iterator[Address]:
    """Where a packet to the address ends. What only carries an IPv4 address stands for that one; 6to4 is both."""
    if isinstance(it, IPv4Address):
        yield it
        return
    low = IPv4Address(int(it) & 0xFFFFFFFF)
    if it.ipv4_mapped is not None or it in _NAT64 or (it in _COMPATIBLE and int(it) > 1):
        yield low
        return
    if it.sixtofour is not None:
        yield it.sixtofour
    yield it


def _global(it: Address) -> bool:
    if it.is_multicast or any(it.version == network.version and it in network for network in _LATER):
        return False
    return it.is_global and (isinstance(it, IPv4Address) or it in _UNICAST)
