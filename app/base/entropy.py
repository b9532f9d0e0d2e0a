"""The only source of randomness, for secrets and identifiers. Tests can replace it."""

import secrets
from base64 import urlsafe_b64encode
from uuid import UUID

from uuid_utils.compat import uuid7


class Entropy:
    """The random generator of the operating system, and time-ordered identifiers (UUIDv7, RFC 9562 section 5.7)."""

    def random_bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        return secrets.token_bytes(count)

    def secret(self, prefix: str) -> str:
        """Return a bearer secret of 256 random bits: `prefix`, then 43 characters of unpadded base64url."""
        return prefix + urlsafe_b64encode(self.random_bytes(32)).rstrip(b"=").decode()

    def identifier(self) -> UUID:
        """Return a new UUIDv7. The identifiers of one process increase strictly."""
        return uuid7()
