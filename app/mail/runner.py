"""The one who carries the letters: beside the application, from its start to its end. Nothing that goes wrong stops it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog

from app.background.tasks import background_task
from app.background.wakeup import PollInterval
from app.mail import outbox
from app.mail.transports import Transport, transport_of
from app.world import World

log = structlog.get_logger("licentia.mail")


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    """Letters leave while the block runs. At its end what is being sent is finished first, for some seconds at most."""
    transport = transport_of(world.settings)
    if transport is None:
        yield
        return
    async with background_task(partial(_carry, world, transport), world.mail_wakeup.notify):
        yield


async def _carry(world: World, transport: Transport, leaving: asyncio.Event) -> None:
    pace = PollInterval(world.mail_wakeup, active=world.settings.env == "development")
    while not leaving.is_set():
        if not await _round(world, transport):
            await pace.wait()


async def _round(world: World, transport: Transport) -> bool:
    """Whether there may be more to send."""
    try:
        return await outbox.deliver_due(world, transport) == outbox.BATCH
    except Exception as error:  # noqa: BLE001  a database that is away, above all: the next look may find it again
        log.warning("mail_waits", cause=type(error).__name__)
        return False
