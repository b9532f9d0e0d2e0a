"""The one who tells endpoints: beside the application, from its start to its end. Nothing that goes wrong stops it.

Each endpoint has a lane of its own, so that one that hangs holds up nobody else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import nan
from uuid import UUID

import structlog

from app.background.tasks import GRACE, sleep_or_stop
from app.background.wakeup import PollInterval
from app.webhooks.delivery import outbox
from app.webhooks.delivery.egress import Egress
from app.world import World

Lanes = dict[UUID, asyncio.Task[int]]
log = structlog.get_logger("licentia.webhooks")


@asynccontextmanager
async def running(world: World, egress: Egress | None = None) -> AsyncIterator[None]:
    """Events are told while the block runs. At its end what is being sent is finished first, for `GRACE` seconds at most."""
    leaving, lanes = asyncio.Event(), Lanes()
    task = asyncio.create_task(_carry(world, egress or Egress.of(world.settings), lanes, leaving))
    try:
        yield
    finally:
        leaving.set()
        world.event_wakeup.notify()
        await asyncio.wait({task, *lanes.values()}, timeout=GRACE)
        for each in (task, *lanes.values()):
            each.cancel()
        await asyncio.gather(task, *lanes.values(), return_exceptions=True)


async def _carry(world: World, egress: Egress, lanes: Lanes, leaving: asyncio.Event) -> None:
    """Where nobody listens the bell is nobody's affair: events are many."""
    pace = PollInterval(world.event_wakeup, active=world.settings.env == "development")
    while not leaving.is_set():
        if await _round(world, egress, lanes, leaving):
            await pace.wait()
        else:
            await sleep_or_stop(leaving, pace.seconds)


async def _round(world: World, egress: Egress, lanes: Lanes, leaving: asyncio.Event) -> bool:
    """Whether anybody listens. Lanes that came to their end make room; one that is still busy goes on by itself."""
    try:
        due, anybody = await outbox.look(world)
    except Exception as error:  # noqa: BLE001  a database that is away, above all: the next look may find it again
        outbox.LAG.set(nan)  # nobody knows
        log.warning("webhooks_wait", cause=type(error).__name__)
        return False
    for endpoint_id in [each for each, lane in lanes.items() if lane.done()]:
        if (broken := lanes.pop(endpoint_id).exception()) is not None:
            log.warning("webhook_lane_broke", cause=type(broken).__name__, webhook=str(endpoint_id))
    for endpoint_id in due:
        if endpoint_id not in lanes:
            lanes[endpoint_id] = asyncio.create_task(outbox.drain(world, egress, endpoint_id, leaving))
    return anybody
