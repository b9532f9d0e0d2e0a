"""Authenticates requests by access token, and reads the handle of a pending login."""

from app.login.sessions.service import load_subject
from app.login.sessions.tokens import read_end_user
from app.web.callers import PendingLoginCaller
from app.world import World

__all__ = ["load_subject", "read_end_user", "read_login_handle"]


async def read_login_handle(_world: World, token: str) -> PendingLoginCaller:
    """Wrap the handle of a pending login; the login package checks it later."""
    return PendingLoginCaller(token)
