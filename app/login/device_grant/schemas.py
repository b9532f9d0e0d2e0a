"""Wire models of the device authorization grant (RFC 8628)."""

from typing import Annotated, Any, Self

from pydantic import Field

from app.login.device_grant.service import DeviceAuthorization
from app.login.fields import LoginDeviceIn
from app.login.rules import ApprovalLevel
from app.web.fields import Instant, Secret, Slug, WireModel

UserCode = Annotated[Secret, Field(max_length=32)]
"""The code as typed; case, dashes and spaces do not matter."""


class DeviceCodeIn(WireModel):
    """`product`: the application's product. `device`: shown to the user who approves."""

    product: Slug | None = None
    device: LoginDeviceIn | None = None


class DeviceCodeOut(WireModel):
    """RFC 8628 section 3.2. `expires_in` and `interval` are in seconds. Keep `device_code` secret; show the rest."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int

    @classmethod
    def of(cls, authorization: DeviceAuthorization) -> Self:
        return cls(**vars(authorization), verification_uri_complete=authorization.verification_uri_complete)


class DeviceTokenIn(WireModel):
    """The device code to poll with."""

    device_code: Annotated[Secret, Field(max_length=128)]


class UserCodeIn(WireModel):
    """The user code to approve or deny."""

    user_code: UserCode


class RequestedProduct(WireModel):
    """The product that the application named."""

    code: str
    name: str | None


class RequestingDevice(WireModel):
    """The device as the application describes it, unverified."""

    name: str | None
    platform: str | None
    app_version: str | None


class DeviceRequest(WireModel):
    """The request of an application. `ip`, `user_agent`: of that application. `wants`: the `acr` that a session needs to approve it."""

    product: RequestedProduct | None
    device: RequestingDevice | None
    ip: str | None
    user_agent: str | None
    requested_at: Instant
    expires_at: Instant
    wants: ApprovalLevel

    @classmethod
    def of(cls, row: Any, product_name: str | None, required_level: ApprovalLevel) -> Self:
        description = {name: row.device.get(name) for name in RequestingDevice.model_fields} if row.device is not None else None
        return cls(
            product=RequestedProduct(code=row.product, name=product_name) if row.product is not None else None,
            device=RequestingDevice(**description) if description is not None else None,
            ip=row.ip,
            user_agent=row.user_agent,
            requested_at=row.created_at,
            expires_at=row.expires_at,
            wants=required_level,
        )
