"""Establishes which operator a key belongs to."""

from app.api_keys import service
from app.web.callers import Operator
from app.web.problems import TokenInvalid
from app.world import World


async def authenticate_operator(world: World, key: str) -> Operator:
    found = await service.authenticate(world, key)
    if found is None:
        raise TokenInvalid
    return found
