"""The only source of chance: secrets and identifiers. Tests seed it; nothing else may draw."""

import secrets
from base64 import urlsafe_b64encode
from uuid import UUID

from uuid_utils.compat import uuid7


class Entropy:
    """The operating system's generator, and time-ordered identifiers (UUIDv7, RFC 9562 section 5.7)."""

    def random_bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        return secrets.token_bytes(count)

    def secret(self, prefix: str) -> str:
        """A bearer secret of 256 random bits: `prefix`, then 43 characters of unpadded base64url."""
        return prefix + urlsafe_b64encode(self.random_bytes(32)).rstrip(b"=").decode()

    def identifier(self) -> UUID:
        """A new UUIDv7. Identifiers made by one process rise strictly."""
        return uuid7()
