"""The one who carries the letters: beside the application, from its start to its end. Nothing that goes wrong stops it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog

from app.base.beside import beside
from app.mail import outbox
from app.mail.transports import Transport, transport_of
from app.world import World

CALM, BRISK = 5.0, 1.0
"""Seconds between looks: usually, and in development or for a while after this process posted something."""
COMMITS = 0.05
"""The bell is rung inside of the writer's transaction; after so many seconds it has usually committed."""
WATCHFUL = 10

log = structlog.get_logger("licentia.mail")


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    """Letters leave while the block runs. At its end what is being sent is finished first, for some seconds at most."""
    transport = transport_of(world.settings)
    if transport is None:
        yield
        return
    async with beside(partial(_carry, world, transport), world.mail_posted.ring):
        yield


async def _carry(world: World, transport: Transport, leaving: asyncio.Event) -> None:
    watchful = 0
    while not leaving.is_set():
        if await _round(world, transport):
            continue
        brisk = watchful > 0 or world.settings.env == "development"
        rung = await world.mail_posted.heard(BRISK if brisk else CALM)
        watchful = WATCHFUL if rung else max(0, watchful - 1)
        if rung:
            await asyncio.sleep(COMMITS)


async def _round(world: World, transport: Transport) -> bool:
    """Whether there may be more to send."""
    try:
        return await outbox.deliver(world, transport) == outbox.BATCH
    except Exception as error:  # noqa: BLE001  a database that is away, above all: the next look may find it again
        log.warning("mail_waits", cause=type(error).__name__)
        return False
