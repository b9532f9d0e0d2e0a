"""Reads activation tokens: the bearer tokens of seats."""

from app.licenses.seats import activations
from app.web.callers import Device
from app.web.problems import TokenInvalid
from app.world import World


async def device(world: World, token: str) -> Device:
    """Raises TokenInvalid."""
    caller = await activations.read_device(world, token)
    if caller is None:
        raise TokenInvalid
    return caller
