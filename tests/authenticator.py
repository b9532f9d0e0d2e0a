"""An authenticator in software: it stores passkeys, responds as a browser does, and can send wrong values.

It builds attestation objects, authenticator data and client data after WebAuthn Level 3 sections 5.8.1, 6.1 and 6.5.
"""

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

RP_ID = "licentia.test"
ORIGIN = "https://app.licentia.test"
ANDROID = "android:apk-key-hash:n3l1WlzT4Tn0Sz3F0rK1oS1v6Z1QmS0bP1xk7lq0wXo"
UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40

Json = dict[str, Any]


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Passkey:
    """One credential: its key, its user handle, and its signature counter, which stays 0 for synced passkeys."""

    id: bytes
    handle: bytes
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    count: int = 0

    def cose(self) -> bytes:
        """The public key (RFC 9053 section 7)."""
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return cbor2.dumps({1: 1, 3: -8, -1: 6, -2: self.key.public_key().public_bytes_raw()})
        numbers = self.key.public_key().public_numbers()
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)})

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))


@dataclass
class Authenticator:
    """The properties of the authenticator, and the origin and RP ID that it sends. A test changes them to send wrong values."""

    origin: str = ORIGIN
    rp_id: str = RP_ID
    flags: int = UP | UV
    counts: bool = True
    ed25519: bool = False
    passkeys: list[Passkey] = field(default_factory=list)

    def _data(self, passkey: Passkey, flags: int, attested: bytes = b"") -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + passkey.count.to_bytes(4) + attested

    def _client_data(self, kind: str, options: Json, more: Json) -> bytes:
        fields = {"type": f"webauthn.{kind}", "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(fields | more).encode()

    def _answer(self, passkey: Passkey, response: Json) -> Json:
        credential_id = b64(passkey.id)
        about = {"authenticatorAttachment": "platform", "clientExtensionResults": {"credProps": {"rk": True}}}
        return {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response, **about}

    def create(self, options: Json, *, fresh: bytes | None = None, **more: Any) -> Json:
        """Create a passkey and return `RegistrationResponseJSON`; `more` changes the client data."""
        key = ed25519.Ed25519PrivateKey.generate() if self.ed25519 else ec.generate_private_key(ec.SECP256R1())
        passkey = Passkey(fresh or os.urandom(32), unb64(options["user"]["id"]), key)  # noqa: TID251  an authenticator has its own random numbers
        self.passkeys.append(passkey)
        attested = bytes(16) + len(passkey.id).to_bytes(2) + passkey.id + passkey.cose()
        data = self._data(passkey, self.flags | AT, attested)
        fields = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {"clientDataJSON": b64(self._client_data("create", options, more)), "attestationObject": b64(fields)}
        return self._answer(passkey, response | {"transports": ["internal", "hybrid"], "publicKeyAlgorithm": -7})

    def get(self, options: Json, passkey: Passkey | None = None, **more: Any) -> Json:
        """Return `AuthenticationResponseJSON` of the passkey, or of an allowed one; `more` changes the client data."""
        allowed = {each["id"] for each in options.get("allowCredentials", [])}
        passkey = passkey or next(each for each in self.passkeys if not allowed or b64(each.id) in allowed)
        passkey.count += self.counts
        client_data, data = self._client_data("get", options, more), self._data(passkey, self.flags)
        signature = passkey.sign(data + hashlib.sha256(client_data).digest())
        response = {"clientDataJSON": b64(client_data), "authenticatorData": b64(data), "signature": b64(signature)}
        return self._answer(passkey, response | {"userHandle": b64(passkey.handle)})
