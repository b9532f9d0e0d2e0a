"""Establishes which end user an access token speaks for, and passes unfinished logins on."""

from app.login.sessions.service import load_subject
from app.login.sessions.tokens import read_end_user
from app.web.callers import PendingLoginCaller
from app.world import World

__all__ = ["load_subject", "read_end_user", "read_login_handle"]


async def read_login_handle(_world: World, token: str) -> PendingLoginCaller:
    return PendingLoginCaller(token)
