"""What the back office sees of an end user's logins, and its ways to help; and introspection for other services."""

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
Wanted = Annotated[PageWindow, Depends(page_window)]


@router.get("/v1/users/{user_id}/sessions", responses=refuses(ScopeMissing, UserNotFound))
async def sessions_of_user(world: TheWorld, _by: Reads, user_id: UUID, wanted: Wanted) -> Page[SessionOut]:
    rows, cursor = await sessions.list_for_operator(world, user_id, wanted)
    return Page(data=[SessionOut.of(row, sessions.compute_level(world, row)) for row in rows], next_cursor=cursor)


@router.get("/v1/users/{user_id}/factors", responses=refuses(ScopeMissing, UserNotFound))
async def factors_of_user(world: TheWorld, _by: Reads, user_id: UUID, wanted: Wanted) -> Page[FactorOut]:
    rows, cursor = await factors.list_factors_of_user(world, user_id, wanted)
    return Page(data=[FactorOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/v1/users/{user_id}/reset-factors", status_code=204, responses=refuses(ScopeMissing, UserNotFound))
async def reset_factors(world: TheWorld, operator: Writes, user_id: UUID) -> None:
    """Drop every second factor and every session of somebody who lost them; the password stays as it is."""
    await factors.reset_factors(world, operator.actor, user_id)


@router.post("/v1/users/{user_id}/login-code", status_code=202, responses=refuses(ScopeMissing, UserNotFound, LoginCodeImpossible))
async def mail_login_code(world: TheWorld, operator: Writes, user_id: UUID) -> LoginCodeMailed:
    """Mail a code to somebody who forgot the password; with it they log in at `/v1/login/code` and choose a new one."""
    return LoginCodeMailed(expires_at=await login_code.mail_code(world, operator.actor, user_id))


@router.post("/v1/users/{user_id}/unlock", status_code=204, responses=refuses(ScopeMissing, UserNotFound))
async def unlock(world: TheWorld, operator: Writes, user_id: UUID) -> None:
    """Clear the counters of wrong tries, also those that have stopped."""
    await factors.unlock(world, operator.actor, user_id)


@router.post("/v1/introspect", response_model_exclude_none=True, responses=refuses(ScopeMissing))
async def introspect(world: TheWorld, _by: Reads, body: IntrospectIn) -> Introspection:
    """What a token stands for at this moment (RFC 7662, with a JSON body)."""
    return Introspection(**await tokens.introspect(world, body.token))
