"""Establishes which seat an activation token belongs to."""

from app.licenses.seats import activations
from app.web.callers import ActivatedDevice
from app.web.problems import TokenInvalid
from app.world import World


async def device(world: World, token: str) -> ActivatedDevice:
    found = await activations.read_device(world, token)
    if found is None:
        raise TokenInvalid
    return found
