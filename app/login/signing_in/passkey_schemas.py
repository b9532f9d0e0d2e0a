"""Wire models of passkeys, in the JSON forms of WebAuthn Level 3 section 5.1.

Unknown members are ignored, because the standard may add some.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field

from app.login.factors.passkeys import WebAuthnOptions
from app.login.fields import LoginDeviceIn
from app.web.fields import Instant, Name, Slug, WireModel


def _check_length(text: str) -> str:
    if len(text) % 4 == 1:
        raise ValueError("must be base64url without padding")
    return text


Base64Url = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", min_length=2), AfterValidator(_check_length)]
"""Unpadded base64url (RFC 4648 section 5)."""


def _max_bytes(count: int) -> Any:
    return Field(max_length=(count * 4 + 2) // 3)


CredentialId = Annotated[Base64Url, _max_bytes(1023)]
ClientData = Annotated[Base64Url, _max_bytes(4096)]


class BrowserJson(WireModel):
    """Base of the models that a browser produces."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class AttestationResponse(BrowserJson):
    """`AuthenticatorAttestationResponseJSON` of WebAuthn."""

    client_data_json: Annotated[ClientData, Field(alias="clientDataJSON")]
    attestation_object: Annotated[Base64Url, _max_bytes(16_384), Field(alias="attestationObject")]
    transports: Annotated[list[Annotated[str, Field(pattern=r"^[!-~]{1,32}$")]], Field(max_length=10)] = []


class AssertionResponse(BrowserJson):
    """`AuthenticatorAssertionResponseJSON` of WebAuthn."""

    client_data_json: Annotated[ClientData, Field(alias="clientDataJSON")]
    authenticator_data: Annotated[Base64Url, _max_bytes(4096), Field(alias="authenticatorData")]
    signature: Annotated[Base64Url, _max_bytes(8192), Field(repr=False)]
    user_handle: Annotated[Annotated[Base64Url, _max_bytes(64)] | None, Field(alias="userHandle")] = None


class PasskeyCredential(BrowserJson):
    """The members that registrations and assertions share."""

    id: CredentialId
    raw_id: Annotated[CredentialId, Field(alias="rawId")]
    type: Literal["public-key"]

    def as_browser_json(self) -> Mapping[str, Any]:
        """Return the credential as the browser sent it."""
        return self.model_dump(by_alias=True, exclude_none=True)


class RegistrationResponse(PasskeyCredential):
    """`RegistrationResponseJSON`: the result of `navigator.credentials.create()`, by its `toJSON()`."""

    response: AttestationResponse


class AuthenticationResponse(PasskeyCredential):
    """`AuthenticationResponseJSON`: the result of `navigator.credentials.get()`, by its `toJSON()`."""

    response: AssertionResponse


class PasskeyRegistrationIn(WireModel):
    """`name`: how the user will recognise the passkey in the list of factors."""

    credential: RegistrationResponse
    name: Name | None = None

    def to_attributes(self) -> Mapping[str, Any]:
        """Return the name and transports, which are stored with the key."""
        return {"name": self.name, "transports": self.credential.response.transports}


class PasskeyAssertionIn(WireModel):
    """The response of `navigator.credentials.get()` to the request options."""

    credential: AuthenticationResponse


class PasskeyOptionsIn(WireModel):
    """Product and device of a login by passkey alone. A pending login already has both."""

    product: Slug | None = None
    device: LoginDeviceIn | None = None


class PasskeyOptions(WireModel):
    """`public_key` is for `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`.

    Valid for one response, until `expires_at`.
    """

    public_key: dict[str, Any]
    expires_at: Instant

    @classmethod
    def of(cls, options: WebAuthnOptions) -> Self:
        return cls(public_key=dict(options.public_key), expires_at=options.expires_at)
