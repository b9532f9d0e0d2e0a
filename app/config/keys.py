"""The server's own keys as the configuration writes them: 32 random bytes each, in base64."""

import base64
import binascii

from pydantic import SecretStr

KEY_BYTES = 32
KEY_EXPECTED = "wants 32 random bytes in base64, as `openssl rand -base64 32` prints them"
DEVELOPMENT_MARK = b"dev-only"
"""How a key begins that development made for itself: 24 random bytes are left, and production knows it by its mark."""


def decode_key(text: str) -> bytes:
    """32 bytes from base64, either alphabet, and not a few of them over and over. Raises ValueError without repeating the text."""
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise ValueError("wants base64") from wrong
    if len(key) != KEY_BYTES or len(set(key)) < KEY_BYTES // 2:
        raise ValueError(KEY_EXPECTED)
    return key


def decode_ring(text: str) -> dict[str, bytes]:
    """`kid:base64,kid:base64` to keys by id, in order. Raises ValueError without repeating the text."""
    ring: dict[str, bytes] = {}
    for item in text.strip().split(","):
        kid, colon, key = item.strip().partition(":")
        if not colon or not kid.isalnum() or kid in ring:
            raise ValueError("wants kid:base64 pairs with commas between, each kid once, letters and digits")
        decoded = decode_key(key)
        if decoded in ring.values():
            raise ValueError("has the same key under two kids; whoever rotates wants a new one")
        ring[kid] = decoded
    return ring


def check_key(secret: SecretStr) -> SecretStr:
    """The secret itself, if it is a key. Raises ValueError."""
    decode_key(secret.get_secret_value())
    return secret


def check_ring(secret: SecretStr) -> SecretStr:
    """The secret itself, if it is a ring of keys. Raises ValueError."""
    decode_ring(secret.get_secret_value())
    return secret


def is_development_key(key: bytes) -> bool:
    return key.startswith(DEVELOPMENT_MARK)
