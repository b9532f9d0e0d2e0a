"""Reads activation tokens: the bearer tokens of seats."""

from app.licenses.seats import activations
from app.web.callers import ActivatedDevice
from app.web.problems import TokenInvalid
from app.world import World


async def read_activation_token(world: World, token: str) -> ActivatedDevice:
    """Return the device of an activation token. Raises TokenInvalid."""
    caller = await activations.resolve_token(world, token)
    if caller is None:
        raise TokenInvalid
    return caller
