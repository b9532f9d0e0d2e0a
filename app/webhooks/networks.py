"""Public and private network addresses. Webhooks reach a private address only if the configuration allows its network (SSRF)."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291 section 2.4
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 addresses for hosts that have only IPv6
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 section 2.5.5.1, deprecated
_NOT_GLOBAL = (IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20"))
"""Networks that the standard library wrongly calls global: 6to4 relays (RFC 7526), documentation (RFC 9637)."""


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


def is_reachable(address: str, allowed: Sequence[Network]) -> bool:
    """Return whether requests may be sent to an address: each address it leads to is global or in an allowed network.

    False for text that is not an address, and for an address with a zone.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if "%" in address:
        return False
    return all(_is_in(target, allowed) or _is_global(target) for target in _list_targets(parsed))


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _list_targets(address: Address) -> Iterator[Address]:
    """List the addresses that an address leads to: the embedded IPv4 address of a mapped or translated one, both of a 6to4 address."""
    if isinstance(address, IPv4Address):
        yield address
        return
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield low
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    yield address


def _is_global(address: Address) -> bool:
    if address.is_multicast or _is_in(address, _NOT_GLOBAL):
        return False
    return address.is_global and (isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST)
