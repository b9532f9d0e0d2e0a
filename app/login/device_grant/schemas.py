"""Wire shapes of being let in by a short code (RFC 8628)."""

from typing import Annotated, Any, Self

from pydantic import Field

from app.login.device_grant.service import DeviceAuthorization
from app.login.fields import LoginDeviceIn
from app.login.rules import ApprovalLevel
from app.web.fields import Instant, Secret, Slug, WireModel

UserCode = Annotated[Secret, Field(max_length=32)]
"""As it was read out: case, dashes and spaces do not matter."""


class DeviceCodeIn(WireModel):
    """`product`: what the application is; `device`: what the user will recognise when asked."""

    product: Slug | None = None
    device: LoginDeviceIn | None = None


class DeviceCodeOut(WireModel):
    """RFC 8628 section 3.2. `expires_in` and `interval` are in seconds; `device_code` stays with the application, the rest is shown."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int

    @classmethod
    def of(cls, it: DeviceAuthorization) -> Self:
        return cls(**vars(it), verification_uri_complete=it.verification_uri_complete)


class DeviceTokenIn(WireModel):
    device_code: Annotated[Secret, Field(max_length=128)]


class UserCodeIn(WireModel):
    user_code: UserCode


class RequestedProduct(WireModel):
    code: str
    name: str | None


class RequestingDevice(WireModel):
    """As the application describes it; nothing of it is verified."""

    name: str | None
    platform: str | None
    app_version: str | None


class DeviceRequest(WireModel):
    """`ip` and `user_agent` are of the application that asks. `wants`: what the `acr` of a session that may approve must be."""

    product: RequestedProduct | None
    device: RequestingDevice | None
    ip: str | None
    user_agent: str | None
    requested_at: Instant
    expires_at: Instant
    wants: ApprovalLevel

    @classmethod
    def of(cls, row: Any, product_name: str | None, wants: ApprovalLevel) -> Self:
        described = {name: row.device.get(name) for name in RequestingDevice.model_fields} if row.device is not None else None
        return cls(
            product=RequestedProduct(code=row.product, name=product_name) if row.product is not None else None,
            device=RequestingDevice(**described) if described is not None else None,
            ip=row.ip,
            user_agent=row.user_agent,
            requested_at=row.created_at,
            expires_at=row.expires_at,
            wants=wants,
        )
