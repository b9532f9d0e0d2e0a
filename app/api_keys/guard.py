"""Authenticates operators by their API key."""

from app.api_keys import service
from app.web.callers import Operator
from app.web.problems import TokenInvalid
from app.world import World


async def authenticate_operator(world: World, key: str) -> Operator:
    """Return the operator of a valid key. Raises TokenInvalid."""
    operator = await service.authenticate(world, key)
    if operator is None:
        raise TokenInvalid
    return operator
