"""`/v1/login`, `/v1/step-up`, `/v1/logout`, `/v1/me`, and creating end users"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from app.login import rules, service, sessions, totp
from app.login.problems import (
    CodeRefused,
    EmailNotVerified,
    EnrolmentNotFound,
    EnrolmentUnderWay,
    InvalidCredentials,
    LoginOver,
    SecondFactorMissing,
    StepUpRequired,
)
from app.login.schemas import (
    CodeIn,
    EnrolmentOut,
    FactorOut,
    LoginComplete,
    LoginIn,
    LoginIncomplete,
    Me,
    SessionFace,
    StepUpIn,
    TotpIn,
    UserIn,
)
from app.login.service import Incomplete
from app.users.problems import EmailTaken, UserExternalIdTaken
from app.users.schemas import UserOut
from app.web.callers import Operates, Operator, TheEndUser, TheLogin, TheOrigin, TheSubject, TheWorld
from app.web.problems import LoginHandleRequired, ScopeMissing, SubjectTokenRequired, TooManyAttempts
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("login")
Writes = Annotated[Operator, Depends(Operates("users:write"))]


@router.post("/v1/users", status_code=201, responses=refuses(ScopeMissing, EmailTaken, UserExternalIdTaken))
async def create_user(world: TheWorld, by: Writes, body: UserIn, response: Response) -> UserOut:
    """Create an end user, with a password or without."""
    row = await service.create_user(world, by.actor, body.model_dump(exclude={"password"}), body.password)
    response.headers["Location"] = f"/v1/users/{row.id}"
    return UserOut.of(row)


@router.post(
    "/v1/login",
    responses={
        202: {"model": LoginIncomplete, "description": "The password fits; `next` says what else is wanted"},
        **refuses(InvalidCredentials, CodeRefused, TooManyAttempts),
    },
)
async def begin(world: TheWorld, origin: TheOrigin, body: LoginIn, response: Response) -> LoginComplete | LoginIncomplete:
    """Log in with password, and at once with a code if one is sent along."""
    outcome = await service.begin(world, origin, body.identifier, body.password, body.totp)
    if isinstance(outcome, Incomplete):
        response.status_code = 202
        return LoginIncomplete.of(outcome)
    return LoginComplete.of(outcome, int(world.settings.access_lifetime.total_seconds()))


@router.get("/v1/login", responses=refuses(LoginOver, LoginHandleRequired))
async def state(world: TheWorld, login: TheLogin) -> LoginIncomplete:
    """Where an unfinished login stands."""
    return LoginIncomplete.of(await service.state(world, login))


@router.delete("/v1/login", status_code=204, responses=refuses(LoginHandleRequired))
async def cancel(world: TheWorld, login: TheLogin) -> None:
    """Give an unfinished login up."""
    await service.cancel(world, login)


@router.post("/v1/login/totp", responses=refuses(LoginOver, CodeRefused, LoginHandleRequired, TooManyAttempts))
async def verify_totp(world: TheWorld, origin: TheOrigin, login: TheLogin, body: CodeIn) -> LoginComplete:
    """Complete a login or a step-up with a code from the authenticator app. A code works once."""
    opened = await service.verify_totp(world, origin, login, body.code)
    return LoginComplete.of(opened, int(world.settings.access_lifetime.total_seconds()))


@router.post("/v1/step-up", status_code=202, responses=refuses(SubjectTokenRequired, SecondFactorMissing))
async def step_up(world: TheWorld, who: TheSubject, body: StepUpIn | None = None) -> LoginIncomplete:
    """Begin to raise the session to `aal2`: the same steps as a login, and new tokens for the same session."""
    return LoginIncomplete.of(await service.step_up(world, who))


@router.post("/v1/logout", status_code=204, responses=refuses(SubjectTokenRequired))
async def log_out(world: TheWorld, holder: TheEndUser) -> None:
    """End the session at once."""
    await sessions.log_out(world, holder)


@router.get("/v1/me", responses=refuses(SubjectTokenRequired))
async def me(world: TheWorld, holder: TheEndUser) -> Me:
    """Who is logged in, and how sure that is by now."""
    row = await service.me(world, holder)
    proofs = rules.Proofs(row.password_at, row.second_factor_at)
    acr = rules.acr(proofs, world.clock.now(), world.settings.second_factor_lifetime)
    face = SessionFace(id=row.session_id, acr=acr, amr=row.amr, auth_time=row.auth_time, expires_at=row.session_expires_at)
    return Me(user=UserOut.of(row), session=face)


@router.post("/v1/me/totp", status_code=201, responses=refuses(SubjectTokenRequired, EmailNotVerified, StepUpRequired, EnrolmentUnderWay))
async def enrol(world: TheWorld, who: TheSubject, body: TotpIn | None = None) -> EnrolmentOut:
    """Begin to set an authenticator app up. It counts for nothing until a code of it is confirmed."""
    made = await totp.enrol(world, who, body.name if body else None)
    return EnrolmentOut(**vars(made))


@router.post(
    "/v1/me/totp/{factor_id}/confirm",
    responses=refuses(SubjectTokenRequired, EmailNotVerified, StepUpRequired, EnrolmentNotFound, CodeRefused),
)
async def confirm(world: TheWorld, who: TheSubject, factor_id: UUID, body: CodeIn) -> FactorOut:
    """Bring the authenticator app to life with a code of it. That code is spent: the next login wants the next one."""
    at = await totp.confirm(world, who, factor_id, body.code)
    return FactorOut(id=factor_id, kind="totp", state="active", confirmed_at=at)
