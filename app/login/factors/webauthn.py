"""The relying party of WebAuthn Level 3: create options for the browser and verify its responses.

The `webauthn` library verifies signatures and structures. This module adds checks that the library leaves to its caller: user verification
and frames of other origins. The signature counter is checked by the statement that advances it (see `passkeys`).
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cbor2 import CBORError
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography, options_to_json_dict
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.config.settings import Settings

CHALLENGE_BYTES = 32
HANDLE_BYTES = 64
MAX_CREDENTIAL_ID = 1023
ALGORITHMS = [COSEAlgorithmIdentifier.EDDSA, COSEAlgorithmIdentifier.ECDSA_SHA_256, COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256]
_KNOWN_TRANSPORTS = {transport.value for transport in AuthenticatorTransport}
_MALFORMED = (WebAuthnException, InvalidSignature, UnsupportedAlgorithm, CBORError, struct.error, ValueError, LookupError, TypeError,
              AttributeError, OverflowError, RecursionError)  # fmt: skip
"""Every exception that a forged or malformed credential can raise in the libraries that read it."""

Json: TypeAlias = dict[str, Any]


class InvalidCredential(Exception):
    """The response is not valid. The reason is for logs only, never for the client."""


@dataclass(frozen=True)
class RegisteredCredential:
    """A registered credential: its id and the transports by which the browser can reach it."""

    id: bytes
    transports: Sequence[str] = ()

    def descriptor(self) -> PublicKeyCredentialDescriptor:
        transports = [AuthenticatorTransport(name) for name in self.transports if name in _KNOWN_TRANSPORTS]
        return PublicKeyCredentialDescriptor(id=self.id, transports=transports or None)


@dataclass(frozen=True)
class NewCredential:
    """A new credential. `synced`: it may be copied to other devices (flag BE). `backed_up`: it was (flag BS)."""

    id: bytes
    public_key: bytes
    sign_count: int
    synced: bool
    backed_up: bool

    @property
    def method(self) -> str:
        return choose_amr_value(synced=self.synced)


def choose_amr_value(*, synced: bool) -> str:
    """Return the `amr` value of RFC 8176: `swk` for a key that is synced between devices, `hwk` for a key in hardware."""
    return "swk" if synced else "hwk"


@dataclass(frozen=True)
class Assertion:
    """A verified assertion. `verified`: the user was verified by PIN, fingerprint or face (flag UV), not by a touch alone."""

    sign_count: int
    verified: bool
    backed_up: bool


@dataclass(frozen=True)
class RelyingParty:
    """The owner of the passkeys and the origins that may use them, from the settings only, never from a request (authentication R34)."""

    id: str
    name: str
    origins: list[str]

    @classmethod
    def of(cls, settings: Settings) -> "RelyingParty | None":
        if settings.webauthn_rp_id is None:
            return None
        return cls(settings.webauthn_rp_id, settings.webauthn_rp_name, settings.webauthn_origins)

    def creation_options(
        self, challenge: bytes, handle: bytes, email: str, display_name: str, existing: Sequence[RegisteredCredential]
    ) -> Json:
        """Create `PublicKeyCredentialCreationOptionsJSON` (section 5.4) for a discoverable credential with user verification."""
        options = generate_registration_options(
            rp_id=self.id,
            rp_name=self.name,
            user_id=handle,
            user_name=email,
            user_display_name=display_name,
            challenge=challenge,
            timeout=_TIMEOUT,
            attestation=AttestationConveyancePreference.NONE,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=[credential.descriptor() for credential in existing],
            supported_pub_key_algs=ALGORITHMS,
        )
        return options_to_json_dict(options)

    def request_options(self, challenge: bytes, allowed: Sequence[RegisteredCredential], *, verifying: bool) -> Json:
        """Create `PublicKeyCredentialRequestOptionsJSON` (section 5.5) for these credentials, or for any of ours if the list is empty."""
        verification = UserVerificationRequirement.REQUIRED if verifying else UserVerificationRequirement.PREFERRED
        options = generate_authentication_options(
            rp_id=self.id,
            challenge=challenge,
            timeout=_TIMEOUT,
            allow_credentials=[credential.descriptor() for credential in allowed],
            user_verification=verification,
        )
        return options_to_json_dict(options)

    def verify_registration(self, credential: Json, challenge: bytes) -> NewCredential:
        """Verify a registration response (section 7.1) and return its credential. Raises InvalidCredential."""
        try:
            _require_own_frame(credential)
            verified = verify_registration_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origins,
                require_user_verification=True,
                supported_pub_key_algs=ALGORITHMS,
            )
            public_key = decode_credential_public_key(verified.credential_public_key)
            decoded_public_key_to_cryptography(public_key)  # raises for a key that cannot verify signatures
            claimed_id = decode_base64url(credential["id"])
        except _MALFORMED as error:
            raise InvalidCredential(type(error).__name__) from error
        if len(verified.credential_id) > MAX_CREDENTIAL_ID or verified.credential_id != claimed_id:
            raise InvalidCredential("the credential id differs or is too long")
        synced = verified.credential_device_type is CredentialDeviceType.MULTI_DEVICE
        return NewCredential(
            verified.credential_id, verified.credential_public_key, verified.sign_count, synced, verified.credential_backed_up
        )

    def verify_assertion(self, credential: Json, challenge: bytes, public_key: bytes) -> Assertion:
        """Verify an authentication response (section 7.2), except its signature counter. Raises InvalidCredential."""
        try:
            _require_own_frame(credential)
            verified = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origins,
                credential_public_key=public_key,
                credential_current_sign_count=_NO_COUNT,
                require_user_verification=False,
            )
        except _MALFORMED as error:
            raise InvalidCredential(type(error).__name__) from error
        return Assertion(verified.new_sign_count, verified.user_verified, verified.credential_backed_up)


_TIMEOUT = 300_000  # milliseconds, the lifetime of a challenge
_NO_COUNT = -1  # passes the library's comparison; the stored counter is compared when it is advanced


def decode_base64url(text: str) -> bytes:
    """Decode unpadded base64url (RFC 4648 section 5), the encoding of bytes in WebAuthn's JSON. Raises ValueError."""
    return base64url_to_bytes(text)


def _read_client_data(credential: Json) -> Json:
    client_data = json.loads(decode_base64url(credential["response"]["clientDataJSON"]))
    if not isinstance(client_data, dict):
        raise InvalidCredential("the client data is not an object")
    return client_data


def _require_own_frame(credential: Json) -> None:
    """Refuse a response created in a frame of another origin, where the user could not see the site (section 5.8.1)."""
    client_data = _read_client_data(credential)
    if client_data.get("crossOrigin") not in (None, False) or "topOrigin" in client_data:
        raise InvalidCredential("created in a frame of another origin")


def read_challenge(credential: Json) -> bytes:
    """Read the challenge from a response's client data. Raises InvalidCredential."""
    try:
        return decode_base64url(_read_client_data(credential)["challenge"])
    except _MALFORMED as error:
        raise InvalidCredential("no challenge") from error
