"""Background worker that sends the letters of the outbox. Errors are logged and never stop it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.background.wakeup import PollInterval
from app.background.worker import polling_worker
from app.mail import outbox
from app.mail.transports import create_transport
from app.world import World


@asynccontextmanager
async def run(world: World) -> AsyncIterator[None]:
    """Send letters while the block runs, if mail is configured. At its end, letters that are being sent may finish."""
    transport = create_transport(world.settings)
    if transport is None:
        yield
        return

    async def run_round(_stopping: asyncio.Event) -> bool:
        return await outbox.deliver_due(world, transport) == outbox.BATCH

    interval = PollInterval(world.mail_wakeup, active=world.settings.env == "development")
    async with polling_worker("mail", run_round, interval):
        yield
