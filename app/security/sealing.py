"""Secrets at rest: AES-256-GCM for values that are read back, keyed and plain digests for values that are only compared."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.base.entropy import Entropy

NONCE_BYTES = 12


class SealBroken(Exception):
    """A sealed value cannot be opened: it was altered or moved, or its key is not configured."""


@dataclass(frozen=True)
class Place:
    """Where a sealed value is stored. It is authenticated with the value, so a copy in another row cannot be opened."""

    table: str
    column: str
    row: UUID | str

    def associated_data(self) -> bytes:
        return f"{self.table}|{self.column}|{self.row}".encode()


@dataclass(frozen=True)
class Sealer:
    """AES-256 keys by id. The first encrypts, all decrypt. Sealed text is `kid:` + base64url(nonce + ciphertext)."""

    ring: Mapping[str, bytes] = field(repr=False)
    entropy: Entropy

    def seal(self, secret: bytes, place: Place) -> str:
        kid, key = next(iter(self.ring.items()))
        nonce = self.entropy.random_bytes(NONCE_BYTES)
        box = nonce + AESGCM(key).encrypt(nonce, secret, place.associated_data())
        return f"{kid}:{urlsafe_b64encode(box).decode()}"

    def open(self, sealed: str, place: Place) -> bytes:
        """Return the secret that was sealed. Raises SealBroken."""
        kid, _, text = sealed.partition(":")
        try:
            box = urlsafe_b64decode(text)
            return AESGCM(self.ring[kid]).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], place.associated_data())
        except (KeyError, ValueError, InvalidTag) as broken:
            raise SealBroken(f"{place.table}.{place.column} cannot be decrypted with the key {kid[:32]!r}") from broken


@dataclass(frozen=True)
class LookupKey:
    """HMAC-SHA256 under a server secret, for secrets too short to be hashed plainly (license keys, activation codes)."""

    key: bytes = field(repr=False)

    def digest(self, kind: str, value: str) -> bytes:
        """Return the HMAC (32 bytes). `kind` separates the uses: the same value has another digest for another kind."""
        return hmac.digest(self.key, f"{kind}\0{value}".encode(), "sha256")


def digest_token(token: str) -> bytes:
    """Return the SHA-256 of a 256-bit bearer secret. It cannot be guessed, so no key is needed (authentication R54)."""
    return sha256(token.encode()).digest()
