"""Routes to register passkeys and to log in by passkey."""

from typing import Any

from fastapi import Response

from app.catalog.problems import ProductNotFound
from app.login.factors import service as factors
from app.login.factors.schemas import FactorAdded
from app.login.problems import (
    ChallengeSpent,
    EmailNotVerified,
    LoginOver,
    PasskeyMissing,
    PasskeyRefused,
    PasskeysOff,
    PasskeyTaken,
    StepNotDue,
    StepUpRequired,
    TooManyPasskeys,
    UserVerificationRequired,
)
from app.login.sessions import service as sessions
from app.login.sessions.tokens import IssuedTokens
from app.login.signing_in import passkey_login
from app.login.signing_in.passkey_schemas import PasskeyAssertionIn, PasskeyOptions, PasskeyOptionsIn, PasskeyRegistrationIn
from app.login.signing_in.pending import LoginChallenge
from app.login.signing_in.schemas import LoginComplete, LoginIncomplete
from app.web.callers import MaybeLogin, TheLogin, TheOrigin, TheSubject, TheWorld
from app.web.problems import LoginHandleRequired, SubjectTokenRequired, TooManyAttempts
from app.web.routing import NOT_REPLAYED, refuses
from app.web.routing import router as new_router

router = new_router("login")
INCOMPLETE: dict[int | str, dict[str, Any]] = {
    202: {"model": LoginIncomplete, "description": "The step succeeded; `next` lists the remaining steps"}
}
STEP_REFUSALS = (PasskeysOff, LoginOver, StepNotDue, LoginHandleRequired, TooManyAttempts)
SUBJECT_REFUSALS = (PasskeysOff, SubjectTokenRequired, EmailNotVerified, StepUpRequired)


def build_response(outcome: IssuedTokens | LoginChallenge, response: Response) -> LoginComplete | LoginIncomplete:
    """Return 200 with tokens, or 202 with the next step."""
    if isinstance(outcome, LoginChallenge):
        response.status_code = 202
        return LoginIncomplete.of(outcome)
    return LoginComplete.of(outcome)


@router.post(
    "/v1/login/passkey/options",
    summary="Create Passkey Login Options",
    openapi_extra=NOT_REPLAYED,
    responses=refuses(*STEP_REFUSALS, PasskeyMissing, ProductNotFound),
)
async def login_options(world: TheWorld, origin: TheOrigin, login: MaybeLogin, body: PasskeyOptionsIn | None = None) -> PasskeyOptions:
    """Create request options for the browser: for any passkey or, with a login handle, for the passkeys of that login's user."""
    requested = body or PasskeyOptionsIn()
    client = sessions.describe_client(world, requested.product, requested.device.model_dump() if requested.device else None)
    return PasskeyOptions.of(await passkey_login.create_options(world, origin, login, client))


@router.post(
    "/v1/login/passkey",
    summary="Log In with Passkey",
    responses={**INCOMPLETE, **refuses(*STEP_REFUSALS, ChallengeSpent, PasskeyRefused, UserVerificationRequired)},
)
async def log_in(
    world: TheWorld, origin: TheOrigin, login: MaybeLogin, body: PasskeyAssertionIn, response: Response
) -> LoginComplete | LoginIncomplete:
    """Log in by passkey alone, or continue a login or step-up with one."""
    return build_response(await passkey_login.sign_in(world, origin, login, body.credential.as_browser_json()), response)


ENROLMENT_REFUSALS = (PasskeysOff, LoginOver, StepNotDue, LoginHandleRequired)


@router.post(
    "/v1/login/passkey/enroll", summary="Set Up Passkey During Login", openapi_extra=NOT_REPLAYED, responses=refuses(*ENROLMENT_REFUSALS)
)
async def enroll(world: TheWorld, login: TheLogin) -> PasskeyOptions:
    """Create options to register a passkey during a login that requires a second factor and has none."""
    return PasskeyOptions.of(await passkey_login.begin_enrolment(world, login))


@router.post(
    "/v1/login/passkey/confirm",
    summary="Confirm Passkey During Login",
    responses={
        **INCOMPLETE,
        **refuses(*ENROLMENT_REFUSALS, TooManyAttempts, ChallengeSpent, PasskeyRefused, PasskeyTaken, TooManyPasskeys),
    },
)
async def confirm(
    world: TheWorld, origin: TheOrigin, login: TheLogin, body: PasskeyRegistrationIn, response: Response
) -> LoginComplete | LoginIncomplete:
    """Store the new passkey and continue the login. The response includes the recovery codes, once."""
    return build_response(
        await passkey_login.confirm_enrolment(world, origin, login, body.credential.as_browser_json(), body.to_attributes()), response
    )


@router.post(
    "/v1/me/passkeys/options",
    summary="Create Passkey Registration Options",
    openapi_extra=NOT_REPLAYED,
    responses=refuses(*SUBJECT_REFUSALS),
)
async def registration_options(world: TheWorld, subject: TheSubject) -> PasskeyOptions:
    """Create options to register another passkey."""
    return PasskeyOptions.of(await factors.begin_passkey(world, subject))


@router.post(
    "/v1/me/passkeys",
    summary="Register Passkey",
    status_code=201,
    responses=refuses(*SUBJECT_REFUSALS, ChallengeSpent, PasskeyRefused, PasskeyTaken, TooManyPasskeys),
)
async def register(world: TheWorld, subject: TheSubject, body: PasskeyRegistrationIn) -> FactorAdded:
    """Store the new passkey. The first second factor of an account comes with recovery codes, returned once."""
    return FactorAdded.of(await factors.add_passkey(world, subject, body.credential.as_browser_json(), body.to_attributes()))
