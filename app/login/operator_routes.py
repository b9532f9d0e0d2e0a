"""Operator routes for an end user's sessions and factors, help with logging in, and token introspection."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.login.factors import service as factors
from app.login.factors.schemas import FactorOut
from app.login.me_schemas import IntrospectIn, Introspection, SessionOut
from app.login.problems import LoginCodeImpossible
from app.login.sessions import service as sessions
from app.login.sessions import tokens
from app.login.signing_in import login_code
from app.login.signing_in.schemas import LoginCodeMailed
from app.users.problems import UserNotFound
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import Page
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("login")
Reads = Annotated[Operator, Depends(RequireScope("users:read"))]
Writes = Annotated[Operator, Depends(RequireScope("users:write"))]
Paging = Annotated[PageWindow, Depends(page_window)]


@router.get("/v1/users/{user_id}/sessions", summary="List Sessions of User", responses=refuses(ScopeMissing, UserNotFound))
async def sessions_of_user(world: TheWorld, _operator: Reads, user_id: UUID, page: Paging) -> Page[SessionOut]:
    """List the active sessions of an end user."""
    rows, cursor = await sessions.list_for_operator(world, user_id, page)
    return Page(data=[SessionOut.of(row, sessions.compute_level(world, row)) for row in rows], next_cursor=cursor)


@router.get("/v1/users/{user_id}/factors", summary="List Factors of User", responses=refuses(ScopeMissing, UserNotFound))
async def factors_of_user(world: TheWorld, _operator: Reads, user_id: UUID, page: Paging) -> Page[FactorOut]:
    """List the factors of an end user."""
    rows, cursor = await factors.list_factors_of_user(world, user_id, page)
    return Page(data=[FactorOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.post(
    "/v1/users/{user_id}/reset-factors", summary="Reset Factors of User", status_code=204, responses=refuses(ScopeMissing, UserNotFound)
)
async def reset_factors(world: TheWorld, operator: Writes, user_id: UUID) -> None:
    """Remove all second factors of an end user and end all sessions. The password stays valid."""
    await factors.reset_factors(world, operator.actor, user_id)


@router.post("/v1/users/{user_id}/login-code", status_code=202, responses=refuses(ScopeMissing, UserNotFound, LoginCodeImpossible))
async def mail_login_code(world: TheWorld, operator: Writes, user_id: UUID) -> LoginCodeMailed:
    """Send an e-mail with a login code to an end user who forgot the password.

    The end user enters it at `/v1/login/code` and then chooses a new password.
    """
    return LoginCodeMailed(expires_at=await login_code.mail_code(world, operator.actor, user_id))


@router.post("/v1/users/{user_id}/unlock", summary="Unlock User", status_code=204, responses=refuses(ScopeMissing, UserNotFound))
async def unlock(world: TheWorld, operator: Writes, user_id: UUID) -> None:
    """Reset the end user's counters of failed attempts; this also ends permanent locks."""
    await factors.unlock(world, operator.actor, user_id)


@router.post("/v1/introspect", summary="Introspect Token", response_model_exclude_none=True, responses=refuses(ScopeMissing))
async def introspect(world: TheWorld, _operator: Reads, body: IntrospectIn) -> Introspection:
    """Return the current state of a token (RFC 7662, but with a JSON body)."""
    return Introspection(**await tokens.introspect(world, body.token))
