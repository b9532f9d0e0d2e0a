"""How many letters may be asked for: three an hour to one address, twenty an hour from one network (R40). Known and unknown alike."""

from datetime import timedelta

from app.login import throttle
from app.login.throttle import Window
from app.users.rules import folded
from app.web.callers import Origin
from app.world import World

TO_ADDRESS = Window(timedelta(hours=1), 3)
FROM_NETWORK = Window(timedelta(hours=1), 20)


def address_key(world: World, address: str) -> bytes:
    """The counter of the letters to an address."""
    return world.keys.lookup.digest("throttle.mail_address", folded(address))


async def admit(world: World, origin: Origin, address: str) -> bool:
    """Count one request for a letter. Raises TooManyAttempts for the network; False when the address has had its letters."""
    await from_network(world, origin)
    return await to_address(world, address)


async def from_network(world: World, origin: Origin) -> None:
    """Count one request from where it comes. Raises TooManyAttempts."""
    async with world.db.write(stands=True) as session:
        refusal = await throttle.within(session, throttle.network_key(world, "mail", origin), FROM_NETWORK, world.clock.now())
    if refusal is not None:
        raise refusal


async def to_address(world: World, address: str) -> bool:
    """Count one letter to an address; False when it has had its share. Nothing is said about that, and nothing is sent."""
    async with world.db.write(stands=True) as session:
        return await throttle.within(session, address_key(world, address), TO_ADDRESS, world.clock.now()) is None
