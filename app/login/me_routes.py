"""`/v1/me`: one's own profile, sessions, password, factors and recovery codes."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.login.account import creation
from app.login.factors import passwords
from app.login.factors import service as factors
from app.login.factors.schemas import FactorAdded, FactorOut, FactorPatch, RecoveryCodesOut, RecoveryCodesStatus
from app.login.fields import CodeIn
from app.login.me_schemas import Me, PasswordIn, SessionOut
from app.login.problems import (
    CodeRefused,
    EmailNotVerified,
    EnrolmentNotFound,
    EnrolmentUnderWay,
    FactorIndispensable,
    FactorNotFound,
    PasswordWrong,
    SecondFactorMissing,
    SessionNotFound,
    StepUpRequired,
)
from app.login.sessions import revocation
from app.login.sessions import service as sessions
from app.login.signing_in.schemas import EnrolmentOut, TotpIn
from app.users.problems import AgeBandFixed, UserErased
from app.users.schemas import MePatch
from app.web.callers import TheEndUser, TheOrigin, TheSubject, TheWorld
from app.web.fields import Page
from app.web.paging import PageWindow, page_window
from app.web.pipeline.fast_route import hot
from app.web.problems import SubjectTokenRequired, TooManyAttempts
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("me")
Wanted = Annotated[PageWindow, Depends(page_window)]
MINE = (SubjectTokenRequired,)


@router.get("/v1/me", responses=refuses(*MINE))
@hot
async def me(world: TheWorld, end_user: TheEndUser) -> Me:
    """Who is logged in, and how sure that is by now."""
    row = await creation.get_me(world, end_user)
    return Me.of(row, sessions.compute_level(world, row))


@router.patch("/v1/me", responses=refuses(*MINE, AgeBandFixed, UserErased))
async def change_me(world: TheWorld, end_user: TheEndUser, body: MePatch) -> Me:
    """Change one's own profile."""
    row = await creation.change_me(world, end_user, body.changes())
    return Me.of(row, sessions.compute_level(world, row))


@router.get("/v1/me/sessions", responses=refuses(*MINE))
async def my_sessions(world: TheWorld, subject: TheSubject, wanted: Wanted) -> Page[SessionOut]:
    """Where one is logged in."""
    rows, cursor = await sessions.list_sessions(world, subject.id, wanted)
    return Page(data=[SessionOut.of(row, sessions.compute_level(world, row), subject.session_id) for row in rows], next_cursor=cursor)


@router.delete("/v1/me/sessions", status_code=204, responses=refuses(*MINE))
async def end_other_sessions(world: TheWorld, subject: TheSubject) -> None:
    """Log out everywhere but here."""
    await revocation.end_others(world, subject)


@router.delete("/v1/me/sessions/{session_id}", status_code=204, responses=refuses(*MINE, SessionNotFound))
async def end_session(world: TheWorld, subject: TheSubject, session_id: UUID) -> None:
    """Log out there, at once."""
    await revocation.end_one(world, subject, session_id)


@router.post(
    "/v1/me/password",
    status_code=204,
    responses=refuses(*MINE, PasswordWrong, StepUpRequired, TooManyAttempts),
)
async def change_password(world: TheWorld, origin: TheOrigin, subject: TheSubject, body: PasswordIn) -> None:
    """Change the password. Every other session is over."""
    await passwords.change(world, origin, subject, body.current, body.new)


@router.post("/v1/me/totp", status_code=201, responses=refuses(*MINE, EmailNotVerified, StepUpRequired, EnrolmentUnderWay))
async def enrol(world: TheWorld, subject: TheSubject, body: TotpIn | None = None) -> EnrolmentOut:
    """Begin to set an authenticator app up. It counts for nothing until a code of it is confirmed."""
    return EnrolmentOut(**vars(await factors.enrol_totp(world, subject, body.name if body else None)))


@router.post(
    "/v1/me/totp/{factor_id}/confirm",
    responses=refuses(*MINE, EmailNotVerified, StepUpRequired, EnrolmentNotFound, CodeRefused, TooManyAttempts),
)
async def confirm(world: TheWorld, origin: TheOrigin, subject: TheSubject, factor_id: UUID, body: CodeIn) -> FactorAdded:
    """Bring the authenticator app to life with a code of it. That code is spent: the next login wants the next one."""
    return FactorAdded.of(await factors.confirm_totp(world, origin, subject, factor_id, body.code))


@router.get("/v1/me/factors", responses=refuses(*MINE))
async def my_factors(world: TheWorld, subject: TheSubject, wanted: Wanted) -> Page[FactorOut]:
    """What one logs in with."""
    rows, cursor = await factors.list_factors(world, subject.id, wanted)
    return Page(data=[FactorOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/me/factors/{factor_id}", responses=refuses(*MINE, FactorNotFound))
async def my_factor(world: TheWorld, subject: TheSubject, factor_id: UUID) -> FactorOut:
    return FactorOut.model_validate(await factors.get_factor(world, subject, factor_id))


@router.patch("/v1/me/factors/{factor_id}", responses=refuses(*MINE, FactorNotFound))
async def rename_factor(world: TheWorld, subject: TheSubject, factor_id: UUID, body: FactorPatch) -> FactorOut:
    """Give it another name."""
    return FactorOut.model_validate(await factors.rename_factor(world, subject, factor_id, body.name))


@router.delete("/v1/me/factors/{factor_id}", status_code=204, responses=refuses(*MINE, FactorNotFound, FactorIndispensable, StepUpRequired))
async def remove_factor(world: TheWorld, subject: TheSubject, factor_id: UUID) -> None:
    """Remove it, after a step-up by it or by one that remains. Every other session is over."""
    await factors.remove_factor(world, subject, factor_id)


@router.post("/v1/me/recovery-codes", status_code=201, responses=refuses(*MINE, SecondFactorMissing, StepUpRequired))
async def renew_recovery_codes(world: TheWorld, subject: TheSubject) -> RecoveryCodesOut:
    """Ten new codes; the old ones are void."""
    return RecoveryCodesOut(recovery_codes=await factors.renew_recovery_codes(world, subject))


@router.get("/v1/me/recovery-codes", responses=refuses(*MINE))
async def recovery_codes_left(world: TheWorld, subject: TheSubject) -> RecoveryCodesStatus:
    """How many are left; never what they are."""
    return RecoveryCodesStatus.of(await factors.count_recovery_codes(world, subject))
