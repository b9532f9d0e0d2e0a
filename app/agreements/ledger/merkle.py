"""Merkle trees as RFC 9162 section 2.1 has them: a root over leaves in order, and the short proof that one leaf is among them.
Pure; leaves are hashed with a zero octet before them and nodes with a one, so that neither passes for the other."""

from collections.abc import Sequence
from hashlib import sha256


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\0" + data).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH of section 2.1.1, over the hashes of the leaves; of none, the hash of the empty string."""
    return _levels(leaves)[-1][0] if leaves else sha256().digest()


def path(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """PATH of section 2.1.3.1: what has to be known beside the leaf at `place` to come to the root, from the leaf upwards."""
    if not 0 <= place < len(leaves):
        raise ValueError("no such leaf")
    found = []
    for level in _levels(leaves)[:-1]:
        if (beside := place ^ 1) < len(level):
            found.append(level[beside])
        place >>= 1
    return found


def leads_to(leaf: bytes, place: int, count: int, way: Sequence[bytes]) -> bytes | None:
    """The root that the leaf at `place` of `count` and its path come to (section 2.1.3.2); None when the path has another length
    than that place in that tree asks for."""
    if not 0 <= place < count:
        return None
    here, last, rest = leaf, count - 1, list(way)
    while last:
        if place & 1 or place < last:
            if not rest:
                return None
            beside = rest.pop(0)
            here = _node(beside, here) if place & 1 else _node(here, beside)
        place, last = place >> 1, last >> 1
    return None if rest else here


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _levels(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """From the leaves up to the root. A last node without a neighbour goes up as it is, which makes the tree of the RFC: the left
    part of each is the largest full one."""
    levels: list[Sequence[bytes]] = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [_node(below[place], below[place + 1]) for place in range(0, len(below) - 1, 2)]
        levels.append([*above, below[-1]] if len(below) % 2 else above)
    return levels
