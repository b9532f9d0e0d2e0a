"""Limits for requested letters: three an hour to one address for one purpose, twenty an hour from one network (authentication R40).

Known and unknown addresses are limited alike. Each purpose has its own counter, so that using up
a stranger's limit for one purpose does not stop their letters for another (authentication R44).
"""

from datetime import timedelta
from enum import StrEnum

from app.login import attempts
from app.users.rules import fold_identifier
from app.web import counters
from app.web.callers import Origin
from app.web.counters import WindowLimit
from app.world import World

TO_ADDRESS = WindowLimit(timedelta(hours=1), 3)
FROM_NETWORK = WindowLimit(timedelta(hours=1), 20)


class LetterPurpose(StrEnum):
    """The purpose of a letter."""

    REGISTER = "register"
    RESEND = "resend"
    FORGOT = "forgot"
    CHANGE = "change"


def list_address_keys(world: World, address: str) -> tuple[bytes, ...]:
    """List the counter keys of the letters to an address, one for each purpose."""
    return tuple(_build_key(world, purpose, address) for purpose in LetterPurpose)


def _build_key(world: World, purpose: LetterPurpose, address: str) -> bytes:
    return world.keys.lookup.digest(f"throttle.mail_address.{purpose}", fold_identifier(address))


async def count_letter(world: World, origin: Origin, purpose: LetterPurpose, address: str) -> bool:
    """Count one request for a letter; False if the limit of the address is reached. Raises TooManyAttempts for the network."""
    await count_from_network(world, origin)
    return await count_to_address(world, purpose, address)


async def count_from_network(world: World, origin: Origin) -> None:
    """Count one request of the sender's network. Raises TooManyAttempts."""
    async with world.db.write(commit_now=True) as tx:
        refusal = await counters.count_in_window(tx, attempts.build_network_key(world, "mail", origin), FROM_NETWORK, world.clock.now())
    if refusal is not None:
        raise refusal


async def count_to_address(world: World, purpose: LetterPurpose, address: str) -> bool:
    """Count one letter to an address; False if the limit is reached; then nothing is sent, and the response stays the same."""
    async with world.db.write(commit_now=True) as tx:
        return await counters.count_in_window(tx, _build_key(world, purpose, address), TO_ADDRESS, world.clock.now()) is None
