"""How many letters may be asked for: three an hour to one address for one purpose, twenty an hour from one network (authentication R40).

Known and unknown addresses alike. Each purpose has a share of its own: whoever uses one up for a stranger takes from them nothing
but more of the letters that they were sent by it already, and a request that brings no letter costs no other purpose one (authentication R44).
"""

from datetime import timedelta
from enum import StrEnum

from app.login import attempts
from app.login.attempts import AttemptLimit
from app.users.rules import fold_identifier
from app.web.callers import Origin
from app.world import World

TO_ADDRESS = AttemptLimit(timedelta(hours=1), 3)
FROM_NETWORK = AttemptLimit(timedelta(hours=1), 20)


class Share(StrEnum):
    """What a letter is asked for."""

    REGISTER = "register"
    RESEND = "resend"
    FORGOT = "forgot"
    CHANGE = "change"


def address_keys(world: World, address: str) -> tuple[bytes, ...]:
    """The counters of the letters to an address, one for each purpose."""
    return tuple(_key(world, share, address) for share in Share)


def _key(world: World, share: Share, address: str) -> bytes:
    return world.keys.lookup.digest(f"throttle.mail_address.{share}", fold_identifier(address))


async def admit(world: World, origin: Origin, share: Share, address: str) -> bool:
    """Count one request for a letter. Raises TooManyAttempts for the network; False when the address has had its letters."""
    await from_network(world, origin)
    return await to_address(world, share, address)


async def from_network(world: World, origin: Origin) -> None:
    """Count one request from where it comes. Raises TooManyAttempts."""
    async with world.db.write(commit_now=True) as tx:
        refusal = await attempts.within(tx, attempts.network_key(world, "mail", origin), FROM_NETWORK, world.clock.now())
    if refusal is not None:
        raise refusal


async def to_address(world: World, share: Share, address: str) -> bool:
    """Count one letter to an address; False when it has had its share. Nothing is said about that, and nothing is sent."""
    async with world.db.write(commit_now=True) as tx:
        return await attempts.within(tx, _key(world, share, address), TO_ADDRESS, world.clock.now()) is None
