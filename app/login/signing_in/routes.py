"""Routes of `/v1/login` and its steps, step-up, tokens, logout, and the creation of end users."""

from typing import Annotated

from fastapi import Depends, Response

from app.catalog.problems import ProductNotFound
from app.login.account import creation
from app.login.fields import SecondFactorCodeIn
from app.login.problems import (
    CodeRefused,
    EnrolmentNotFound,
    EnrolmentUnderWay,
    InvalidCredentials,
    LoginOver,
    PasskeyMissing,
    SecondFactorMissing,
    StepNotDue,
)
from app.login.sessions import revocation, tokens
from app.login.sessions import service as sessions
from app.login.signing_in import login_code, pending, service
from app.login.signing_in.passkey_routes import INCOMPLETE, build_response
from app.login.signing_in.schemas import (
    EnrolmentOut,
    LoginCodeIn,
    LoginComplete,
    LoginIn,
    LoginIncomplete,
    NewPasswordIn,
    RefreshIn,
    StepUpIn,
    TotpIn,
    UserIn,
)
from app.users.problems import EmailTaken, UserExternalIdTaken
from app.users.schemas import UserOut
from app.web.callers import Operator, RequireScope, TheEndUser, TheLogin, TheOrigin, TheSubject, TheWorld
from app.web.problems import LoginHandleRequired, ScopeMissing, SubjectTokenRequired, TokenInvalid, TooManyAttempts
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("login")
Writes = Annotated[Operator, Depends(RequireScope("users:write"))]


@router.post("/v1/users", status_code=201, responses=refuses(ScopeMissing, EmailTaken, UserExternalIdTaken))
async def create_user(world: TheWorld, operator: Writes, body: UserIn, response: Response) -> UserOut:
    """Create an end user with a password, with a password hash, or without either."""
    row = await creation.create_user(world, operator.actor, body.to_profile(), body.to_initial_password())
    response.headers["Location"] = f"/v1/users/{row.id}"
    return UserOut.of(row)


@router.post(
    "/v1/login",
    summary="Log In with Password",
    responses={**INCOMPLETE, **refuses(InvalidCredentials, CodeRefused, LoginOver, TooManyAttempts, ProductNotFound)},
)
async def begin(world: TheWorld, origin: TheOrigin, body: LoginIn, response: Response) -> LoginComplete | LoginIncomplete:
    """Log in with a password and, optionally, a code of the second factor."""
    client = sessions.describe_client(world, body.product, body.device.model_dump() if body.device else None)
    return build_response(await service.log_in(world, origin, body.identifier, body.password, body.totp, client), response)


@router.post(
    "/v1/login/code", summary="Log In with Mailed Code", status_code=202, responses=refuses(CodeRefused, TooManyAttempts, ProductNotFound)
)
async def begin_by_code(world: TheWorld, origin: TheOrigin, body: LoginCodeIn) -> LoginIncomplete:
    """Begin a login with a mailed code instead of a forgotten password. The next step sets a new password."""
    client = sessions.describe_client(world, body.product, body.device.model_dump() if body.device else None)
    return LoginIncomplete.of(await login_code.begin_with_code(world, origin, body.identifier, body.code, client))


@router.get("/v1/login", summary="Get Login State", responses=refuses(LoginOver, LoginHandleRequired))
async def state(world: TheWorld, login: TheLogin) -> LoginIncomplete:
    """Return the state of a pending login."""
    return LoginIncomplete.of(await pending.get_state(world, login))


@router.delete("/v1/login", summary="Cancel Login", status_code=204, responses=refuses(LoginHandleRequired))
async def cancel(world: TheWorld, login: TheLogin) -> None:
    """Cancel a pending login."""
    await pending.cancel(world, login)


STEP_REFUSALS = (LoginOver, StepNotDue, LoginHandleRequired)


@router.post(
    "/v1/login/totp", summary="Verify Authenticator Code", responses={**INCOMPLETE, **refuses(*STEP_REFUSALS, CodeRefused, TooManyAttempts)}
)
async def verify_totp(
    world: TheWorld, origin: TheOrigin, login: TheLogin, body: SecondFactorCodeIn, response: Response
) -> LoginComplete | LoginIncomplete:
    """Continue a login or step-up with a code from the authenticator app. A code works once."""
    return build_response(await service.verify_totp(world, origin, login, body.code), response)


@router.post("/v1/login/recovery-code", responses={**INCOMPLETE, **refuses(*STEP_REFUSALS, CodeRefused, TooManyAttempts)})
async def use_recovery_code(
    world: TheWorld, origin: TheOrigin, login: TheLogin, body: SecondFactorCodeIn, response: Response
) -> LoginComplete | LoginIncomplete:
    """Continue a login with a recovery code (works once). For ten minutes the session can manage factors, but nothing else sensitive."""
    return build_response(await service.use_recovery_code(world, origin, login, body.code), response)


@router.post(
    "/v1/login/totp/enroll",
    summary="Set Up Authenticator App During Login",
    status_code=201,
    responses=refuses(*STEP_REFUSALS, EnrolmentUnderWay),
)
async def enroll(world: TheWorld, login: TheLogin, body: TotpIn | None = None) -> EnrolmentOut:
    """Begin to set up an authenticator app during a login that requires a second factor and has none."""
    return EnrolmentOut(**vars(await service.begin_enrolment(world, login, body.name if body else None)))


@router.post(
    "/v1/login/totp/confirm",
    summary="Confirm Authenticator App During Login",
    responses={**INCOMPLETE, **refuses(*STEP_REFUSALS, EnrolmentNotFound, CodeRefused, TooManyAttempts)},
)
async def confirm(
    world: TheWorld, origin: TheOrigin, login: TheLogin, body: SecondFactorCodeIn, response: Response
) -> LoginComplete | LoginIncomplete:
    """Activate that authenticator app with one of its codes. The response includes the recovery codes, once."""
    return build_response(await service.confirm_enrolment(world, origin, login, body.code), response)


@router.post("/v1/login/password", summary="Change Password During Login", responses={**INCOMPLETE, **refuses(*STEP_REFUSALS)})
async def change_password(
    world: TheWorld, origin: TheOrigin, login: TheLogin, body: NewPasswordIn, response: Response
) -> LoginComplete | LoginIncomplete:
    """Set the new password that this login requires."""
    return build_response(await service.change_password(world, origin, login, body.new), response)


@router.post("/v1/step-up", status_code=202, responses=refuses(SubjectTokenRequired, SecondFactorMissing, PasskeyMissing))
async def step_up(world: TheWorld, subject: TheSubject, body: StepUpIn | None = None) -> LoginIncomplete:
    """Begin to raise the session to `aal2`, or to `aal2p` by a passkey.

    Continue with the same calls as for a login. The session stays and gets new tokens.
    """
    return LoginIncomplete.of(await service.step_up(world, subject, (body or StepUpIn()).acr))


@router.post("/v1/token/refresh", summary="Refresh Tokens", responses=refuses(TokenInvalid))
async def refresh(world: TheWorld, body: RefreshIn) -> LoginComplete:
    """Exchange a refresh token for new tokens. Each refresh token works once; using it again later ends the session."""
    return LoginComplete.of(await tokens.exchange_refresh_token(world, body.refresh_token))


@router.post("/v1/logout", status_code=204, responses=refuses(SubjectTokenRequired))
async def log_out(world: TheWorld, end_user: TheEndUser) -> None:
    """End the session and its refresh token immediately."""
    await revocation.log_out(world, end_user)
