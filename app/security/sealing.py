"""Secrets at rest: AES-256-GCM for what must be read back, keyed and plain digests for what must only be recognised."""

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
    """A sealed value does not open: altered, moved to another place, or its key is not in the ring."""


@dataclass(frozen=True)
class Place:
    """Where a sealed value lives. It is authenticated with the value, so a copy into another row does not open."""

    table: str
    column: str
    row: UUID | str

    def associated_data(self) -> bytes:
        return f"{self.table}|{self.column}|{self.row}".encode()


@dataclass(frozen=True)
class Sealer:
    """A ring of AES-256 keys by id. The first writes, all read. Sealed text is `kid:` + base64url(nonce + ciphertext)."""

    ring: Mapping[str, bytes] = field(repr=False)
    entropy: Entropy

    def seal(self, secret: bytes, place: Place) -> str:
        kid, key = next(iter(self.ring.items()))
        nonce = self.entropy.random_bytes(NONCE_BYTES)
        box = nonce + AESGCM(key).encrypt(nonce, secret, place.associated_data())
        return f"{kid}:{urlsafe_b64encode(box).decode()}"

    def open(self, sealed: str, place: Place) -> bytes:
        """The secret that `seal` took. Raises SealBroken."""
        kid, _, text = sealed.partition(":")
        try:
            box = urlsafe_b64decode(text)
            return AESGCM(self.ring[kid]).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], place.associated_data())
        except (KeyError, ValueError, InvalidTag) as broken:
            raise SealBroken(f"{place.table}.{place.column} does not open with the key {kid[:32]!r}") from broken


@dataclass(frozen=True)
class LookupKey:
    """HMAC-SHA256 under a server secret, for secrets too short to be hashed plainly (license keys, activation codes)."""

    key: bytes = field(repr=False)

    def digest(self, kind: str, value: str) -> bytes:
        """32 bytes. `kind` separates uses: the same text of another kind gives another digest."""
        return hmac.digest(self.key, f"{kind}\0{value}".encode(), "sha256")


def token_digest(token: str) -> bytes:
    """SHA-256 of a 256-bit bearer secret; guessing is hopeless, so no key is needed (authentication R54)."""
    return sha256(token.encode()).digest()
