"""Wire shapes of passkeys: the JSON forms that WebAuthn Level 3 section 5.1 gives to what a browser takes and answers.

They are the standard's, so members that we do not know are left aside, not refused.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field

from app.login.factors.passkeys import WebAuthnOptions
from app.login.fields import LoginDeviceIn
from app.web.fields import Instant, Name, Slug, WireModel


def _check_length(text: str) -> str:
    if len(text) % 4 == 1:
        raise ValueError("is not unpadded base64url")
    return text


Base64Url = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", min_length=2), AfterValidator(_check_length)]
"""Unpadded base64url (RFC 4648 section 5)."""


def _max_bytes(octets: int) -> Any:
    return Field(max_length=(octets * 4 + 2) // 3)


CredentialId = Annotated[Base64Url, _max_bytes(1023)]
ClientData = Annotated[Base64Url, _max_bytes(4096)]


class BrowserJson(WireModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class AttestationResponse(BrowserJson):
    client_data_json: Annotated[ClientData, Field(alias="clientDataJSON")]
    attestation_object: Annotated[Base64Url, _max_bytes(16_384), Field(alias="attestationObject")]
    transports: Annotated[list[Annotated[str, Field(pattern=r"^[!-~]{1,32}$")]], Field(max_length=10)] = []


class AssertionResponse(BrowserJson):
    client_data_json: Annotated[ClientData, Field(alias="clientDataJSON")]
    authenticator_data: Annotated[Base64Url, _max_bytes(4096), Field(alias="authenticatorData")]
    signature: Annotated[Base64Url, _max_bytes(8192), Field(repr=False)]
    user_handle: Annotated[Annotated[Base64Url, _max_bytes(64)] | None, Field(alias="userHandle")] = None


class PasskeyCredential(BrowserJson):
    id: CredentialId
    raw_id: Annotated[CredentialId, Field(alias="rawId")]
    type: Literal["public-key"]

    def standard(self) -> Mapping[str, Any]:
        """As the browser said it."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Registration(PasskeyCredential):
    """`RegistrationResponseJSON`: what `navigator.credentials.create()` gave, by its `toJSON()`."""

    response: AttestationResponse


class Assertion(PasskeyCredential):
    """`AuthenticationResponseJSON`: what `navigator.credentials.get()` gave, by its `toJSON()`."""

    response: AssertionResponse


class RegistrationIn(WireModel):
    """`name`: what the user will recognise in the list of factors."""

    credential: Registration
    name: Name | None = None

    def named(self) -> Mapping[str, Any]:
        """What is stored of it beside the key."""
        return {"name": self.name, "transports": self.credential.response.transports}


class AssertionIn(WireModel):
    credential: Assertion


class PasskeyOptionsIn(WireModel):
    """For a login by a passkey alone: what it is for, and on which device. With a login under way both were said before."""

    product: Slug | None = None
    device: LoginDeviceIn | None = None


class PasskeyOptions(WireModel):
    """`public_key` is for `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`.

    Good for one answer, until `expires_at`.
    """

    public_key: dict[str, Any]
    expires_at: Instant

    @classmethod
    def of(cls, it: WebAuthnOptions) -> Self:
        return cls(public_key=dict(it.public_key), expires_at=it.expires_at)
