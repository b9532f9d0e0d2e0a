"""Establishes which end user an access token speaks for, and passes unfinished logins on."""

from app.login.sessions.service import subject
from app.login.sessions.tokens import token_holder
from app.web.callers import PendingLoginCaller
from app.world import World

__all__ = ["subject", "token_holder", "unfinished"]


async def unfinished(_world: World, token: str) -> PendingLoginCaller:
    return PendingLoginCaller(token)
