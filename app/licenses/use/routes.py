"""`POST /v1/licenses/validate`, `/v1/usage`, `/v1/offline-files`"""

from fastapi import Response

from app.licenses import problems
from app.licenses.problems import LICENSE_REFUSALS, NotActivated
from app.licenses.rules import UseRequest
from app.licenses.schemas import UsageOut
from app.licenses.use import metering, offline, validation
from app.licenses.use.offline import OfflineRequest
from app.licenses.use.schemas import OfflineIn, UsageIn, ValidateIn, ValidationResult
from app.web.callers import LicenseCaller, MaybeSubject, TheOrigin, TheWorld, as_device, as_subject
from app.web.pipeline.fast_route import hot
from app.web.problems import SubjectTokenRequired, TooManyAttempts
from app.web.routing import VERDICT, refuses
from app.web.routing import router as new_router

router = new_router("licenses")
USE_REFUSALS = (
    problems.LicenseNotFound, *LICENSE_REFUSALS, problems.LeaseExpired, problems.LoginRequired, SubjectTokenRequired, TooManyAttempts,
)  # fmt: skip


class Jws(Response):
    """A compact JWS under its own media type (RFC 7515 section 9.2.1)."""

    media_type = "application/jose"


@router.post(
    "/v1/licenses/validate", summary="Validate License Key", openapi_extra=VERDICT, responses=refuses(SubjectTokenRequired, TooManyAttempts)
)
@hot
async def validate(world: TheWorld, caller: MaybeSubject, origin: TheOrigin, body: ValidateIn) -> ValidationResult:
    """Check whether this license key may be used on this device now. The answer is 200 in both cases; see `valid`.

    Validation does not take a seat or start the license. Too many wrong keys are refused with 429.
    """
    use = UseRequest(body.device.fingerprint if body.device else None, body.features, caller is not None)
    user_id = caller.id if caller else None
    license, verdict = await validation.validate(world, origin.ip, body.license_key, body.product, use, user_id)
    return ValidationResult.of(license, verdict, world.clock.now(), body.nonce)


@router.post("/v1/usage", responses=refuses(*USE_REFUSALS, NotActivated, problems.MeterNotFound, problems.UsageLimitReached))
async def add_usage(world: TheWorld, caller: LicenseCaller, origin: TheOrigin, body: UsageIn) -> UsageOut:
    """Count usage of a meter: the whole amount or nothing. Send an `Idempotency-Key`, so that a retry does not count twice."""
    credential = body.to_credential(as_device(caller))
    return UsageOut.model_validate(await metering.add_usage(world, origin.ip, as_subject(caller), credential, body.meter, body.add))


@router.post(
    "/v1/offline-files",
    status_code=201,
    response_class=Jws,
    responses={
        201: {"description": "A compact JWS (`typ: offline-license+jwt`)"},
        **refuses(*USE_REFUSALS, problems.DeviceRequired, NotActivated),
    },
)  # fmt: skip
async def issue_offline_file(world: TheWorld, caller: LicenseCaller, origin: TheOrigin, body: OfflineIn) -> Response:
    """Issue a signed file with the license's rights on this device, for use without a network.

    Verify it with the public keys (JWKS).
    """
    request = OfflineRequest(body.device.fingerprint if body.device else None, body.ttl, body.nonce)
    credential = body.to_credential(as_device(caller))
    file = await offline.issue_file(world, origin.ip, as_subject(caller), credential, request)
    return Jws(file + "\n", 201)
