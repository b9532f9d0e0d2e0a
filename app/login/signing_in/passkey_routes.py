"""Passkeys: registering one of one's own, and logging in by one."""

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
from app.login.signing_in.passkey_schemas import AssertionIn, PasskeyOptions, PasskeyOptionsIn, RegistrationIn
from app.login.signing_in.pending import LoginChallenge
from app.login.signing_in.schemas import LoginComplete, LoginIncomplete
from app.web.callers import MaybeLogin, TheLogin, TheOrigin, TheSubject, TheWorld
from app.web.problems import LoginHandleRequired, SubjectTokenRequired, TooManyAttempts
from app.web.routing import NOT_REPLAYED, refuses
from app.web.routing import router as new_router

router = new_router("login")
INCOMPLETE: dict[int | str, dict[str, Any]] = {
    202: {"model": LoginIncomplete, "description": "That was right; `next` says what else is wanted"}
}
STEP = (PasskeysOff, LoginOver, StepNotDue, LoginHandleRequired, TooManyAttempts)
MINE = (PasskeysOff, SubjectTokenRequired, EmailNotVerified, StepUpRequired)


def build_response(outcome: IssuedTokens | LoginChallenge, response: Response) -> LoginComplete | LoginIncomplete:
    """200 with tokens, or 202 with what comes next."""
    if isinstance(outcome, LoginChallenge):
        response.status_code = 202
        return LoginIncomplete.of(outcome)
    return LoginComplete.of(outcome)


@router.post("/v1/login/passkey/options", openapi_extra=NOT_REPLAYED, responses=refuses(*STEP, PasskeyMissing, ProductNotFound))
async def login_options(world: TheWorld, origin: TheOrigin, login: MaybeLogin, body: PasskeyOptionsIn | None = None) -> PasskeyOptions:
    """What to ask the browser for: any passkey of ours, or, with a login under way, one of its user."""
    asked = body or PasskeyOptionsIn()
    client = sessions.describe_client(world, asked.product, asked.device.model_dump() if asked.device else None)
    return PasskeyOptions.of(await passkey_login.create_options(world, origin, login, client))


@router.post("/v1/login/passkey", responses={**INCOMPLETE, **refuses(*STEP, ChallengeSpent, PasskeyRefused, UserVerificationRequired)})
async def log_in(
    world: TheWorld, origin: TheOrigin, login: MaybeLogin, body: AssertionIn, response: Response
) -> LoginComplete | LoginIncomplete:
    """Log in by a passkey alone, or go on with a login or a step-up by one."""
    return build_response(await passkey_login.sign_in(world, origin, login, body.credential.standard()), response)


ENROL = (PasskeysOff, LoginOver, StepNotDue, LoginHandleRequired)


@router.post("/v1/login/passkey/enroll", openapi_extra=NOT_REPLAYED, responses=refuses(*ENROL))
async def enroll(world: TheWorld, login: TheLogin) -> PasskeyOptions:
    """Register a passkey in the middle of a login that wants a second factor where there is none: what to ask the browser for."""
    return PasskeyOptions.of(await passkey_login.begin_enrolment(world, login))


@router.post(
    "/v1/login/passkey/confirm",
    responses={**INCOMPLETE, **refuses(*ENROL, TooManyAttempts, ChallengeSpent, PasskeyRefused, PasskeyTaken, TooManyPasskeys)},
)
async def confirm(
    world: TheWorld, origin: TheOrigin, login: TheLogin, body: RegistrationIn, response: Response
) -> LoginComplete | LoginIncomplete:
    """Store the passkey that the browser made, and go on with the login; the answer has the recovery codes, this once."""
    return build_response(await passkey_login.confirm_enrolment(world, origin, login, body.credential.standard(), body.named()), response)


@router.post("/v1/me/passkeys/options", openapi_extra=NOT_REPLAYED, responses=refuses(*MINE))
async def registration_options(world: TheWorld, subject: TheSubject) -> PasskeyOptions:
    """What to ask the browser for, to register one passkey more."""
    return PasskeyOptions.of(await factors.passkey_options(world, subject))


@router.post("/v1/me/passkeys", status_code=201, responses=refuses(*MINE, ChallengeSpent, PasskeyRefused, PasskeyTaken, TooManyPasskeys))
async def register(world: TheWorld, subject: TheSubject, body: RegistrationIn) -> FactorAdded:
    """Register the passkey that the browser made. The first second factor of an account brings recovery codes, shown this once."""
    return FactorAdded.of(await factors.add_passkey(world, subject, body.credential.standard(), body.named()))
