"""The server's own keys as the configuration writes them: 32 random bytes each, in base64."""

import base64
import binascii

from pydantic import SecretStr

KEY_OCTETS = 32
DRAWN = "wants 32 random bytes in base64, as `openssl rand -base64 32` prints them"
DEVELOPMENT = b"dev-only"
"""How a key begins that development made for itself: 24 random bytes are left, and production knows it by its mark."""


def decoded_key(text: str) -> bytes:
    """32 bytes from base64, either alphabet, and not a few of them over and over. Raises ValueError without repeating the text."""
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise ValueError("wants base64") from wrong
    if len(key) != KEY_OCTETS or len(set(key)) < KEY_OCTETS // 2:
        raise ValueError(DRAWN)
    return key


def decoded_ring(text: str) -> dict[str, bytes]:
    """`kid:base64,kid:base64` to keys by id, in order. Raises ValueError without repeating the text."""
    ring: dict[str, bytes] = {}
    for item in text.strip().split(","):
        kid, colon, key = item.strip().partition(":")
        if not colon or not kid.isalnum() or kid in ring:
            raise ValueError("wants kid:base64 pairs with commas between, each kid once, letters and digits")
        decoded = decoded_key(key)
        if decoded in ring.values():
            raise ValueError("has the same key under two kids; whoever rotates wants a new one")
        ring[kid] = decoded
    return ring


def checked_key(secret: SecretStr) -> SecretStr:
    """The secret itself, if it is a key. Raises ValueError."""
    decoded_key(secret.get_secret_value())
    return secret


def checked_ring(secret: SecretStr) -> SecretStr:
    """The secret itself, if it is a ring of keys. Raises ValueError."""
    decoded_ring(secret.get_secret_value())
    return secret


def made_for_development(key: bytes) -> bool:
    return key.startswith(DEVELOPMENT)
