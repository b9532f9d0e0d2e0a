"""`/v1/me`: the caller's profile, sessions, password, factors and recovery codes."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.login.account import creation
from app.login.factors import passwords
from app.login.factors import service as factors
from app.login.factors.schemas import FactorAdded, FactorOut, FactorPatch, RecoveryCodesOut, RecoveryCodesStatus
from app.login.fields import SecondFactorCodeIn
from app.login.me_schemas import MeOut, PasswordChangeIn, SessionOut
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
Paging = Annotated[PageWindow, Depends(page_window)]
SUBJECT_REFUSALS = (SubjectTokenRequired,)


@router.get("/v1/me", summary="Get My Profile", responses=refuses(*SUBJECT_REFUSALS))
@hot
async def me(world: TheWorld, end_user: TheEndUser) -> MeOut:
    """Return the end user's profile and the current session with its assurance level."""
    row = await creation.get_me(world, end_user)
    return MeOut.of(row, sessions.compute_level(world, row))


@router.patch("/v1/me", summary="Change My Profile", responses=refuses(*SUBJECT_REFUSALS, AgeBandFixed, UserErased))
async def change_me(world: TheWorld, end_user: TheEndUser, body: MePatch) -> MeOut:
    """Change the caller's profile."""
    row = await creation.change_me(world, end_user, body.to_changes())
    return MeOut.of(row, sessions.compute_level(world, row))


@router.get("/v1/me/sessions", summary="List My Sessions", responses=refuses(*SUBJECT_REFUSALS))
async def my_sessions(world: TheWorld, subject: TheSubject, page: Paging) -> Page[SessionOut]:
    """List the caller's active sessions."""
    rows, cursor = await sessions.list_sessions(world, subject.id, page)
    return Page(data=[SessionOut.of(row, sessions.compute_level(world, row), subject.session_id) for row in rows], next_cursor=cursor)


@router.delete("/v1/me/sessions", summary="End My Other Sessions", status_code=204, responses=refuses(*SUBJECT_REFUSALS))
async def end_other_sessions(world: TheWorld, subject: TheSubject) -> None:
    """End all sessions except the current one."""
    await revocation.end_others(world, subject)


@router.delete(
    "/v1/me/sessions/{session_id}", summary="End My Session", status_code=204, responses=refuses(*SUBJECT_REFUSALS, SessionNotFound)
)
async def end_session(world: TheWorld, subject: TheSubject, session_id: UUID) -> None:
    """End one session immediately."""
    await revocation.end_one(world, subject, session_id)


@router.post(
    "/v1/me/password",
    summary="Change My Password",
    status_code=204,
    responses=refuses(*SUBJECT_REFUSALS, PasswordWrong, StepUpRequired, TooManyAttempts),
)
async def change_password(world: TheWorld, origin: TheOrigin, subject: TheSubject, body: PasswordChangeIn) -> None:
    """Change the password. All other sessions end."""
    await passwords.change(world, origin, subject, body.current, body.new)


@router.post(
    "/v1/me/totp",
    summary="Set Up Authenticator App",
    status_code=201,
    responses=refuses(*SUBJECT_REFUSALS, EmailNotVerified, StepUpRequired, EnrolmentUnderWay),
)
async def enrol(world: TheWorld, subject: TheSubject, body: TotpIn | None = None) -> EnrolmentOut:
    """Begin to set up an authenticator app. It cannot be used until one of its codes is confirmed."""
    return EnrolmentOut(**vars(await factors.enrol_totp(world, subject, body.name if body else None)))


@router.post(
    "/v1/me/totp/{factor_id}/confirm",
    summary="Confirm Authenticator App",
    responses=refuses(*SUBJECT_REFUSALS, EmailNotVerified, StepUpRequired, EnrolmentNotFound, CodeRefused, TooManyAttempts),
)
async def confirm(world: TheWorld, origin: TheOrigin, subject: TheSubject, factor_id: UUID, body: SecondFactorCodeIn) -> FactorAdded:
    """Activate the authenticator app with one of its codes. That code is spent; the next login needs a new one."""
    return FactorAdded.of(await factors.confirm_totp(world, origin, subject, factor_id, body.code))


@router.get("/v1/me/factors", summary="List My Factors", responses=refuses(*SUBJECT_REFUSALS))
async def my_factors(world: TheWorld, subject: TheSubject, page: Paging) -> Page[FactorOut]:
    """List the caller's factors."""
    rows, cursor = await factors.list_factors(world, subject.id, page)
    return Page(data=[FactorOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/me/factors/{factor_id}", summary="Get My Factor", responses=refuses(*SUBJECT_REFUSALS, FactorNotFound))
async def my_factor(world: TheWorld, subject: TheSubject, factor_id: UUID) -> FactorOut:
    """Return one factor."""
    return FactorOut.model_validate(await factors.get_factor(world, subject, factor_id))


@router.patch("/v1/me/factors/{factor_id}", summary="Rename My Factor", responses=refuses(*SUBJECT_REFUSALS, FactorNotFound))
async def rename_factor(world: TheWorld, subject: TheSubject, factor_id: UUID, body: FactorPatch) -> FactorOut:
    """Rename a factor."""
    return FactorOut.model_validate(await factors.rename_factor(world, subject, factor_id, body.name))


@router.delete(
    "/v1/me/factors/{factor_id}",
    summary="Remove My Factor",
    status_code=204,
    responses=refuses(*SUBJECT_REFUSALS, FactorNotFound, FactorIndispensable, StepUpRequired),
)
async def remove_factor(world: TheWorld, subject: TheSubject, factor_id: UUID) -> None:
    """Remove a factor, after a step-up with it or with a remaining one. All other sessions end."""
    await factors.remove_factor(world, subject, factor_id)


@router.post(
    "/v1/me/recovery-codes",
    summary="Renew My Recovery Codes",
    status_code=201,
    responses=refuses(*SUBJECT_REFUSALS, SecondFactorMissing, StepUpRequired),
)
async def renew_recovery_codes(world: TheWorld, subject: TheSubject) -> RecoveryCodesOut:
    """Create ten new recovery codes and invalidate the old ones. Store them: they are returned only in this response."""
    return RecoveryCodesOut(recovery_codes=await factors.renew_recovery_codes(world, subject))


@router.get("/v1/me/recovery-codes", summary="Count My Recovery Codes", responses=refuses(*SUBJECT_REFUSALS))
async def recovery_codes_left(world: TheWorld, subject: TheSubject) -> RecoveryCodesStatus:
    """Return how many unused recovery codes remain, never the codes."""
    return RecoveryCodesStatus.of(await factors.count_recovery_codes(world, subject))
