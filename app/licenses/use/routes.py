"""`POST /v1/licenses/validate`, `/v1/usage`, `/v1/offline-files`"""

from fastapi import Response

from app.licenses import usage
from app.licenses.issuing import service
from app.licenses.problems import (
    LICENSE_REFUSALS,
    DeviceRequired,
    LeaseExpired,
    LicenseNotFound,
    LoginRequired,
    MeterNotFound,
    NotActivated,
    UsageLimitReached,
)
from app.licenses.rules import UseRequest
from app.licenses.schemas import Usage
from app.licenses.use import offline
from app.licenses.use.schemas import OfflineIn, UsageIn, ValidateIn, ValidationResult
from app.web.callers import LicenseCaller, MaybeSubject, TheOrigin, TheWorld, as_device, as_subject
from app.web.pipeline.fast_route import hot
from app.web.problems import SubjectTokenRequired, TooManyAttempts
from app.web.routing import VERDICT, refuses
from app.web.routing import router as new_router

router = new_router("licenses")
USE_REFUSALS = (LicenseNotFound, *LICENSE_REFUSALS, LeaseExpired, LoginRequired, SubjectTokenRequired, TooManyAttempts)


class Jws(Response):
    """A compact JWS under its own media type (RFC 7515 section 9.2.1)."""

    media_type = "application/jose"


@router.post("/v1/licenses/validate", openapi_extra=VERDICT, responses=refuses(SubjectTokenRequired, TooManyAttempts))
@hot
async def validate(world: TheWorld, caller: MaybeSubject, origin: TheOrigin, body: ValidateIn) -> ValidationResult:
    """May this key be used, here, now? A verdict, also when it is no; a pure read. Wrong keys are counted."""
    asked = UseRequest(body.device.fingerprint if body.device else None, body.features, caller is not None)
    found, verdict = await service.validate(world, origin.ip, body.license_key, body.product, asked, caller.id if caller else None)
    return ValidationResult.of(found, verdict, world.clock.now(), body.nonce)


@router.post("/v1/usage", responses=refuses(*USE_REFUSALS, NotActivated, MeterNotFound, UsageLimitReached))
async def add_usage(world: TheWorld, caller: LicenseCaller, origin: TheOrigin, body: UsageIn) -> Usage:
    """Count usage, all of it or nothing. Send an `Idempotency-Key`, and a retry counts once."""
    credential = body.credential(as_device(caller))
    return Usage.model_validate(await usage.add(world, origin.ip, as_subject(caller), credential, body.meter, body.add))


@router.post(
    "/v1/offline-files",
    status_code=201,
    response_class=Jws,
    responses={
        201: {"description": "A compact JWS (`typ: offline-license+jwt`)"},
        **refuses(*USE_REFUSALS, DeviceRequired, NotActivated),
    },
)  # fmt: skip
async def issue_offline_file(world: TheWorld, caller: LicenseCaller, origin: TheOrigin, body: OfflineIn) -> Response:
    """What the license allows this device, signed, for where there is no network. The public keys verify it."""
    fingerprint = body.device.fingerprint if body.device else None
    credential = body.credential(as_device(caller))
    file = await offline.issue(world, origin.ip, as_subject(caller), credential, fingerprint, body.ttl, body.nonce)
    return Jws(file + "\n", 201)
