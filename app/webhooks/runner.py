"""The one who tells endpoints: beside the application, from its start to its end. Nothing that goes wrong stops it.

Each endpoint has a lane of its own, so that one that hangs holds up nobody else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import structlog

from app.base.beside import GRACE, rest
from app.base.egress import Egress
from app.webhooks import outbox
from app.world import World

CALM, BRISK = 5.0, 1.0
"""Seconds between looks: usually, and in development or for a while after something happened in this process."""
COMMITS = 0.05
"""The bell is rung inside of the writer's transaction; after so many seconds it has usually committed."""
WATCHFUL = 10
SWEEPS = timedelta(hours=1)

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
        world.happened.ring()
        await asyncio.wait({task, *lanes.values()}, timeout=GRACE)
        for each in (task, *lanes.values()):
            each.cancel()
        await asyncio.gather(task, *lanes.values(), return_exceptions=True)


async def _carry(world: World, egress: Egress, lanes: Lanes, leaving: asyncio.Event) -> None:
    watchful, swept = 0, world.clock.now() - SWEEPS
    while not leaving.is_set():
        heard_of = await _round(world, egress, lanes, leaving)
        if world.clock.now() >= swept + SWEEPS and await _swept(world):
            swept = world.clock.now()
        brisk = watchful > 0 or world.settings.env == "development"
        rung = await _waited(world, leaving, BRISK if brisk else CALM, listening=heard_of)
        watchful = WATCHFUL if rung else max(0, watchful - 1)


async def _round(world: World, egress: Egress, lanes: Lanes, leaving: asyncio.Event) -> bool:
    """Whether anybody listens. Lanes that came to their end make room; one that is still busy goes on by itself."""
    try:
        due, anybody = await outbox.look(world)
    except Exception as error:  # noqa: BLE001  a database that is away, above all: the next look may find it again
        log.warning("webhooks_wait", cause=type(error).__name__)
        return False
    for endpoint_id in [each for each, lane in lanes.items() if lane.done()]:
        if (broken := lanes.pop(endpoint_id).exception()) is not None:
            log.warning("webhook_lane_broke", cause=type(broken).__name__, webhook=str(endpoint_id))
    for endpoint_id in due:
        if endpoint_id not in lanes:
            lanes[endpoint_id] = asyncio.create_task(outbox.drain(world, egress, endpoint_id, leaving))
    return anybody


async def _waited(world: World, leaving: asyncio.Event, seconds: float, *, listening: bool) -> bool:
    """Wait for the next look; whether it was called for. Where nobody listens the bell is nobody's affair: events are many."""
    if not listening:
        await rest(leaving, seconds)
        return False
    rung = await world.happened.heard(seconds)
    if rung:
        await asyncio.sleep(COMMITS)
    return rung


async def _swept(world: World) -> bool:
    try:
        while await outbox.sweep(world):
            pass
    except Exception as error:  # noqa: BLE001  as above
        log.warning("webhooks_not_swept", cause=type(error).__name__)
        return False
    return True
