"""The relying party's side of WebAuthn Level 3: the options that a browser is given, and what its answer must be to count.

Signatures and structures are `webauthn`'s to check. What it leaves to its caller is checked here: user verification, the user's
handle, frames of other origins. The counter is for the row to judge, once, in the statement that moves it.
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
_KNOWN_TRANSPORTS = {it.value for it in AuthenticatorTransport}
_MALFORMED = (WebAuthnException, InvalidSignature, UnsupportedAlgorithm, CBORError, struct.error, ValueError, LookupError, TypeError,
              AttributeError, OverflowError, RecursionError)  # fmt: skip
"""All that a credential somebody made up can bring about in the libraries that read it."""

Json: TypeAlias = dict[str, Any]


class InvalidCredential(Exception):
    """The answer is not one that counts; why is for the record, never for the caller."""


@dataclass(frozen=True)
class RegisteredCredential:
    """A credential that was registered: its id, and how the browser may reach it."""

    id: bytes
    transports: Sequence[str] = ()

    def descriptor(self) -> PublicKeyCredentialDescriptor:
        reached = [AuthenticatorTransport(name) for name in self.transports if name in _KNOWN_TRANSPORTS]
        return PublicKeyCredentialDescriptor(id=self.id, transports=reached or None)


@dataclass(frozen=True)
class NewCredential:
    """A new credential. `synced`: it can leave its device (the flag BE); `backed_up`: it did (BS)."""

    id: bytes
    public_key: bytes
    sign_count: int
    synced: bool
    backed_up: bool

    @property
    def method(self) -> str:
        return amr_value(synced=self.synced)


def amr_value(*, synced: bool) -> str:
    """RFC 8176: a key in hardware, or one that is carried from device to device."""
    return "swk" if synced else "hwk"


@dataclass(frozen=True)
class Assertion:
    """A credential was shown. `verified`: its user was, by PIN, fingerprint or face (the flag UV); else it was only touched."""

    sign_count: int
    verified: bool
    backed_up: bool


@dataclass(frozen=True)
class RelyingParty:
    """Whose passkeys these are, and from where they may be shown: configuration alone, never what a request says of itself (authentication R34)."""

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
        """`PublicKeyCredentialCreationOptionsJSON` (section 5.4): a credential that is found without a name, and verifies its user."""
        made = generate_registration_options(
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
            exclude_credentials=[it.descriptor() for it in existing],
            supported_pub_key_algs=ALGORITHMS,
        )
        return options_to_json_dict(made)

    def request_options(self, challenge: bytes, allowed: Sequence[RegisteredCredential], *, verifying: bool) -> Json:
        """`PublicKeyCredentialRequestOptionsJSON` (section 5.5): any of these credentials, or whichever of ours the user picks."""
        wanted = UserVerificationRequirement.REQUIRED if verifying else UserVerificationRequirement.PREFERRED
        made = generate_authentication_options(
            rp_id=self.id,
            challenge=challenge,
            timeout=_TIMEOUT,
            allow_credentials=[it.descriptor() for it in allowed],
            user_verification=wanted,
        )
        return options_to_json_dict(made)

    def registered(self, credential: Json, challenge: bytes) -> NewCredential:
        """The new credential of an answer (section 7.1). Raises InvalidCredential."""
        try:
            _own_frame(credential)
            it = verify_registration_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origins,
                require_user_verification=True,
                supported_pub_key_algs=ALGORITHMS,
            )
            decoded_public_key_to_cryptography(decode_credential_public_key(it.credential_public_key))  # a key that can verify
            named = decode_base64url(credential["id"])
        except _MALFORMED as wrong:
            raise InvalidCredential(type(wrong).__name__) from wrong
        if len(it.credential_id) > MAX_CREDENTIAL_ID or it.credential_id != named:
            raise InvalidCredential("another credential id, or one that is too long")
        synced = it.credential_device_type is CredentialDeviceType.MULTI_DEVICE
        return NewCredential(it.credential_id, it.credential_public_key, it.sign_count, synced, it.credential_backed_up)

    def asserted(self, credential: Json, challenge: bytes, public_key: bytes) -> Assertion:
        """What an answer shows (section 7.2), its counter not yet judged. Raises InvalidCredential."""
        try:
            _own_frame(credential)
            it = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origins,
                credential_public_key=public_key,
                credential_current_sign_count=_NO_COUNT,
                require_user_verification=False,
            )
        except _MALFORMED as wrong:
            raise InvalidCredential(type(wrong).__name__) from wrong
        return Assertion(it.new_sign_count, it.user_verified, it.credential_backed_up)


_TIMEOUT = 300_000  # milliseconds, as long as the challenge lives
_NO_COUNT = -1  # the library compares with it; the row is what counts


def decode_base64url(text: str) -> bytes:
    """Unpadded base64url (RFC 4648 section 5), as WebAuthn's JSON forms spell bytes. Raises ValueError."""
    return base64url_to_bytes(text)


def _client_data(credential: Json) -> Json:
    told = json.loads(decode_base64url(credential["response"]["clientDataJSON"]))
    if not isinstance(told, dict):
        raise InvalidCredential("client data is no object")
    return told


def _own_frame(credential: Json) -> None:
    """Refuse what was made in a frame of another origin (section 5.8.1): nobody saw whose page it was."""
    told = _client_data(credential)
    if told.get("crossOrigin") not in (None, False) or "topOrigin" in told:
        raise InvalidCredential("another origin's frame")


def challenge_of(credential: Json) -> bytes:
    """The challenge that an answer says it answers. Raises InvalidCredential."""
    try:
        return decode_base64url(_client_data(credential)["challenge"])
    except _MALFORMED as wrong:
        raise InvalidCredential("no challenge") from wrong
