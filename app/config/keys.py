"""The server's own keys, as settings write them: 32 random bytes each, in base64."""

import base64
import binascii

from pydantic import SecretStr

KEY_BYTES = 32
KEY_EXPECTED = "must be 32 random bytes in base64, as `openssl rand -base64 32` prints them"
DEVELOPMENT_MARK = b"dev-only"
"""The first bytes of a key that development generated. 24 random bytes follow; production recognises the mark."""


def decode_key(text: str) -> bytes:
    """Return 32 bytes from standard or URL-safe base64. Raises ValueError, which never repeats the text."""
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("must be base64, as `openssl rand -base64 32` prints it") from error
    if len(key) != KEY_BYTES:
        raise ValueError(KEY_EXPECTED)
    return key


def decode_ring(text: str) -> dict[str, bytes]:
    """Return the keys of `kid:base64,kid:base64` by id, in order. Raises ValueError, which never repeats the text."""
    ring: dict[str, bytes] = {}
    for item in text.strip().split(","):
        kid, colon, encoded = item.strip().partition(":")
        if not colon or not kid.isalnum() or kid in ring:
            raise ValueError("must be kid:base64 pairs separated by commas, with a different kid of letters and digits for each key")
        key = decode_key(encoded)
        if key in ring.values():
            raise ValueError("must not have the same key under two kids; generate a new key")
        ring[kid] = key
    return ring


def check_key(secret: SecretStr) -> SecretStr:
    """Return the secret. Raises ValueError if it is not a key."""
    decode_key(secret.get_secret_value())
    return secret


def check_ring(secret: SecretStr) -> SecretStr:
    """Return the secret. Raises ValueError if it is not a list of keys."""
    decode_ring(secret.get_secret_value())
    return secret


def is_development_key(key: bytes) -> bool:
    return key.startswith(DEVELOPMENT_MARK)
