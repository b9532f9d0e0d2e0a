"""Compact JWS (RFC 7515) with Ed25519 (RFC 8037). One algorithm, pinned; `typ` tells token kinds apart and is always checked."""

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

# RFC 9864 renames EdDSA; joserfc warns on each use of the name that every other library understands.
warnings.filterwarnings("ignore", message=".*EdDSA.*", category=SecurityWarning)

ALGORITHM = "EdDSA"
ACCEPTED = [ALGORITHM, "Ed25519"]
MAX_TOKEN = 8192
MAX_FILE = 256 * 1024  # an offline file carries every feature of the license; it is read from disk, never from a header
MAX_HEADER = 2048
MAX_VERIFIED = 4096

Claims: TypeAlias = dict[str, Any]


class InvalidToken(Exception):
    """A token that we did not sign, of another kind, or damaged. Carries no part of it."""


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
    def from_private(cls, octets: bytes) -> Self:
        """Read what `private` wrote: the private JWK as JSON."""
        return cls.of(OKPKey.import_key(json.loads(octets)))

    def private(self) -> bytes:
        return json.dumps(self.key.as_dict(private=True)).encode()

    def public(self) -> Claims:
        """The public JWK (RFC 8037 section 2) with `kid`, `use` and `alg`."""
        return {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": ALGORITHM}


@dataclass(frozen=True)
class Signer:
    """The keys of the moment: `active` signs, every known key verifies what has to last. `current`: the `kid`s that may still vouch
    for what lives for minutes; None is all of them. `revoked`: when each known key that leaked was put out of use; what it signed still
    reads, and what that is worth is for the reader to judge. `verified`: what tokens for minutes said whose signature was checked, by
    their digest; an application shows the same one for ten minutes, and checking is dear."""

    active: SigningKey
    known: Mapping[str, SigningKey]
    current: frozenset[str] | None = None
    revoked: Mapping[str, datetime] = field(default_factory=dict)
    verified: dict[bytes, tuple[str, Claims]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def sign(self, typ: str, claims: Claims) -> str:
        """A compact JWS over `claims` as JSON, with `typ` and `kid` in its header."""
        header = {"alg": ALGORITHM, "typ": typ, "kid": self.active.kid}
        payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()
        return jws.serialize_compact(header, payload, self.active.key, algorithms=ACCEPTED)

    def read_current(self, typ: str, token: str) -> Claims:
        """The same as `read`, of a token that lives for minutes: a key that was retired long ago makes none of those. Raises NotOurs."""
        digest = sha256(f"{typ} {token}".encode(errors="surrogatepass")).digest()
        found = self.verified.get(digest)
        if found is None:
            if len(self.verified) >= MAX_VERIFIED:
                self.verified.clear()
            found = self.verified[digest] = self._read(typ, token, MAX_TOKEN)
        kid, claims = found
        if self.current is not None and kid not in self.current:
            raise InvalidToken
        return claims

    def read(self, typ: str, token: str, most: int = MAX_TOKEN) -> Claims:
        """The claims of a token of this `typ` that one of our keys signed. Times are not judged here. Raises NotOurs."""
        return self._read(typ, token, most)[1]

    def _read(self, typ: str, token: str, most: int) -> tuple[str, Claims]:
        """(`kid`, claims). Raises NotOurs."""
        if len(token) > most or not 0 < token.find(".") <= MAX_HEADER:
            raise InvalidToken
        try:
            opened = jws.extract_compact(token.encode("ascii"))
            kid = opened.headers().get("kid")
            if opened.headers().get("typ") != typ or not isinstance(kid, str) or kid not in self.known:
                raise InvalidToken
            if not jws.validate_compact(opened, self.known[kid].key, algorithms=ACCEPTED):
                raise InvalidToken
            claims = json.loads(opened.payload)
        except (JoseError, ValueError, UnicodeError) as unread:
            raise InvalidToken from unread
        if not isinstance(claims, dict):
            raise InvalidToken
        return kid, claims


@dataclass
class SignerCache:
    """The signer that this process read from the database, and when; `signing_keys` fills it, and anew now and then."""

    signer: Signer | None = None
    read_at: datetime | None = None
    missed_at: datetime | None = None
    """When an unknown `kid` last made the keys be read anew."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)


def read_kid(token: str) -> str | None:
    """Which key a compact JWS says it was signed by, whether that is true or not; None for what cannot be read."""
    if not 0 < token.find(".") <= MAX_HEADER:
        return None
    try:
        kid = jws.extract_compact(token.encode("ascii")).headers().get("kid")
    except (JoseError, ValueError, UnicodeError):
        return None
    return kid if isinstance(kid, str) else None


def read_revocations(key_set: Any) -> dict[str, str]:
    """By their thumbprints, the keys of a set that say when they were revoked, and when."""
    try:
        return {SigningKey.of(OKPKey.import_key(jwk)).kid: str(jwk["revoked_at"]) for jwk in key_set["keys"] if "revoked_at" in jwk}
    except (JoseError, AttributeError, KeyError, TypeError, ValueError):
        return {}


def read_with_key_set(token: str, key_set: Any) -> tuple[str, Claims]:
    """(`typ`, claims) of a compact JWS that one of the keys of a published JWK set signed. Raises NotOurs, which says why."""
    try:
        ours = [jwk for jwk in key_set["keys"] if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519" and "kid" in jwk]
        imported = [SigningKey.of(OKPKey.import_key(jwk)) for jwk in ours]  # others are ignored: RFC 7517 section 5
        keys = {key.kid: key for key in imported}  # by what they are, whatever the set calls them
        header = jws.extract_compact(token.encode("ascii")).headers()
    except (JoseError, AttributeError, KeyError, TypeError, ValueError) as unread:
        raise InvalidToken("the file is not a compact JWS, or the key set is not a JWK set") from unread
    if str(header.get("kid")) not in keys:
        raise InvalidToken("it was signed by a key that is not in the key set")
    typ = str(header.get("typ"))
    try:
        _one_spelling(token.rpartition(".")[2])
        return typ, Signer(keys[str(header["kid"])], keys).read(typ, token, MAX_FILE)
    except InvalidToken:
        raise InvalidToken("the signature does not fit; the file was changed") from None


def _one_spelling(signature: str) -> None:
    """The last sign of 64 bytes in base64url has four bits that say nothing: with them altered it would still verify. Raises NotOurs."""
    octets = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    if urlsafe_b64encode(octets).rstrip(b"=") != signature.encode():
        raise InvalidToken
