"""Compact JWS (RFC 7515) with Ed25519 (RFC 8037). One pinned algorithm; `typ` separates the kinds of tokens and is always checked."""

import asyncio
import json
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Self, TypeAlias

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OKPKey

# joserfc warns at each use of the name EdDSA, which RFC 9864 deprecates. Other libraries do not know the new name yet.
warnings.filterwarnings("ignore", message=".*EdDSA.*", category=SecurityWarning)

ALGORITHM = "EdDSA"
ACCEPTED = [ALGORITHM, "Ed25519"]
MAX_TOKEN = 8192
MAX_FILE = 256 * 1024  # an offline file carries every feature of the license; it is read from disk, never from a header
MAX_HEADER = 2048
MAX_VERIFIED = 4096

Claims: TypeAlias = dict[str, Any]


class InvalidToken(Exception):
    """A token that is damaged, of another kind, or not signed by our keys. The message has no part of the token."""


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 pair. `kid` is the RFC 7638 thumbprint of the public half."""

    kid: str
    key: OKPKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        return cls.of(OKPKey.generate_key("Ed25519", private=True))

    @classmethod
    def of(cls, key: OKPKey) -> Self:
        return cls(key.thumbprint(), key)

    @classmethod
    def from_private(cls, data: bytes) -> Self:
        """Read the private JWK as JSON, as `private` returns it."""
        return cls.of(OKPKey.import_key(json.loads(data)))

    def private(self) -> bytes:
        return json.dumps(self.key.as_dict(private=True)).encode()

    def public(self) -> Claims:
        """Return the public JWK (RFC 8037 section 2) with `kid`, `use` and `alg`."""
        return {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": ALGORITHM}


@dataclass(frozen=True)
class Signer:
    """The current keys. `active` signs; every known key verifies long-lived documents.

    `current`: the `kid`s whose short-lived tokens are accepted; None for all. `revoked`: when each leaked key was revoked; its signatures
    still verify, and callers decide whether to accept them. `verified`: a cache of verified short-lived tokens by digest, because an
    application sends the same token for ten minutes and a check is expensive.
    """

    active: SigningKey
    known: Mapping[str, SigningKey]
    current: frozenset[str] | None = None
    revoked: Mapping[str, datetime] = field(default_factory=dict)
    verified: dict[bytes, tuple[str, Claims]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def sign(self, typ: str, claims: Claims) -> str:
        """Return a compact JWS over `claims` as JSON, with `typ` and `kid` in its header."""
        header = {"alg": ALGORITHM, "typ": typ, "kid": self.active.kid}
        payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()
        return jws.serialize_compact(header, payload, self.active.key, algorithms=ACCEPTED)

    def read_current(self, typ: str, token: str) -> Claims:
        """Return the claims as `read` does, but only if a current key signed the token. For short-lived tokens. Raises InvalidToken."""
        digest = sha256(f"{typ} {token}".encode(errors="surrogatepass")).digest()
        verified = self.verified.get(digest)
        if verified is None:
            if len(self.verified) >= MAX_VERIFIED:
                self.verified.clear()
            verified = self.verified[digest] = self._read(typ, token, MAX_TOKEN)
        kid, claims = verified
        if self.current is not None and kid not in self.current:
            raise InvalidToken
        return claims

    def read(self, typ: str, token: str, max_length: int = MAX_TOKEN) -> Claims:
        """Return the claims of a token of this `typ` signed by one of our keys. Does not check times. Raises InvalidToken."""
        return self._read(typ, token, max_length)[1]

    def _read(self, typ: str, token: str, max_length: int) -> tuple[str, Claims]:
        """Return (`kid`, claims). Raises InvalidToken."""
        if len(token) > max_length or not 0 < token.find(".") <= MAX_HEADER:
            raise InvalidToken
        try:
            parsed = jws.extract_compact(token.encode("ascii"))
            kid = parsed.headers().get("kid")
            if parsed.headers().get("typ") != typ or not isinstance(kid, str) or kid not in self.known:
                raise InvalidToken
            if not jws.validate_compact(parsed, self.known[kid].key, algorithms=ACCEPTED):
                raise InvalidToken
            claims = json.loads(parsed.payload)
        except (JoseError, ValueError, UnicodeError) as error:
            raise InvalidToken from error
        if not isinstance(claims, dict):
            raise InvalidToken
        return kid, claims


@dataclass
class SignerCache:
    """The signer that this process read from the database, and when. `signing_keys` fills and renews it."""

    signer: Signer | None = None
    read_at: datetime | None = None
    missed_at: datetime | None = None
    """When an unknown `kid` last caused another read."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)


def read_kid(token: str) -> str | None:
    """Return the `kid` in the header of a compact JWS, unverified; None if it cannot be read."""
    if not 0 < token.find(".") <= MAX_HEADER:
        return None
    try:
        kid = jws.extract_compact(token.encode("ascii")).headers().get("kid")
    except (JoseError, ValueError, UnicodeError):
        return None
    return kid if isinstance(kid, str) else None


def read_revocations(key_set: Any) -> dict[str, str]:
    """Return `revoked_at` of the revoked keys in a key set, by thumbprint."""
    try:
        return {SigningKey.of(OKPKey.import_key(jwk)).kid: str(jwk["revoked_at"]) for jwk in key_set["keys"] if "revoked_at" in jwk}
    except (JoseError, AttributeError, KeyError, TypeError, ValueError):
        return {}


def read_with_key_set(token: str, key_set: Any) -> tuple[str, Claims]:
    """Return (`typ`, claims) of a compact JWS signed by a key of a published JWK set. Raises InvalidToken with the reason."""
    try:
        ours = [jwk for jwk in key_set["keys"] if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519" and "kid" in jwk]
        imported = [SigningKey.of(OKPKey.import_key(jwk)) for jwk in ours]  # RFC 7517 section 5: ignore keys of other types
        keys = {key.kid: key for key in imported}  # by thumbprint, not by the `kid` in the set
        header = jws.extract_compact(token.encode("ascii")).headers()
    except (JoseError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidToken("the file is not a compact JWS, or the key set is not a JWK set") from error
    if str(header.get("kid")) not in keys:
        raise InvalidToken("it was signed with a key that is not in the key set")
    typ = str(header.get("typ"))
    try:
        _check_canonical(token.rpartition(".")[2])
        return typ, Signer(keys[str(header["kid"])], keys).read(typ, token, MAX_FILE)
    except InvalidToken:
        raise InvalidToken("the signature does not match; the file was changed") from None


def _check_canonical(signature: str) -> None:
    """Raise InvalidToken unless the base64url is canonical: four unused bits of its last character could differ and still verify."""
    data = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    if urlsafe_b64encode(data).rstrip(b"=") != signature.encode():
        raise InvalidToken
