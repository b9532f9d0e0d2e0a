"""Merkle trees of RFC 9162 section 2.1: a root over ordered leaves, and a short proof that the tree contains a leaf.

Pure functions. A leaf is hashed with the prefix byte 0 and a node with the prefix byte 1, so that no leaf can be taken for a node.
"""

from collections.abc import Sequence
from hashlib import sha256


def hash_leaf(data: bytes) -> bytes:
    return sha256(b"\0" + data).digest()


def compute_root(leaves: Sequence[bytes]) -> bytes:
    """Compute the root over the leaf hashes (MTH, section 2.1.1). Without leaves it is the hash of the empty string."""
    return _compute_levels(leaves)[-1][0] if leaves else sha256().digest()


def build_path(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """Return the sibling hashes from the leaf at `place` up to the root (PATH, section 2.1.3.1). Raises ValueError."""
    if not 0 <= place < len(leaves):
        raise ValueError("no such leaf")
    siblings = []
    for level in _compute_levels(leaves)[:-1]:
        if (sibling := place ^ 1) < len(level):
            siblings.append(level[sibling])
        place >>= 1
    return siblings


def compute_root_from_path(leaf: bytes, place: int, count: int, siblings: Sequence[bytes]) -> bytes | None:
    """Compute the root from the leaf at `place` of `count` and its path (section 2.1.3.2).

    None if the length of the path is wrong for that place.
    """
    if not 0 <= place < count:
        return None
    node, last, rest = leaf, count - 1, list(siblings)
    while last:
        if place & 1 or place < last:
            if not rest:
                return None
            sibling = rest.pop(0)
            node = _hash_node(sibling, node) if place & 1 else _hash_node(node, sibling)
        place, last = place >> 1, last >> 1
    return None if rest else node


def _hash_node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _compute_levels(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Return all levels of the tree, from the leaves to the root.

    A last node without a sibling moves up unchanged. The tree is the same as that of the RFC, which splits at the largest power of two.
    """
    levels: list[Sequence[bytes]] = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [_hash_node(below[place], below[place + 1]) for place in range(0, len(below) - 1, 2)]
        levels.append([*above, below[-1]] if len(below) % 2 else above)
    return levels
