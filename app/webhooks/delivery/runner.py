"""Background worker that delivers webhooks. Errors are logged and never stop it.

Each endpoint with due deliveries gets its own task, so that a receiver that hangs does not delay the others.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import nan
from uuid import UUID

import structlog

from app.background.tasks import background_task, sleep_or_stop
from app.background.wakeup import PollInterval
from app.background.worker import run_rounds
from app.webhooks.delivery import outbox
from app.webhooks.delivery.egress import Egress
from app.world import World

log = structlog.get_logger("licentia.webhooks")


@asynccontextmanager
async def run(world: World, egress: Egress | None = None) -> AsyncIterator[None]:
    """Deliver webhooks while the block runs. At its end, requests that are being sent may finish."""
    async with background_task(partial(_work, world, egress or Egress.of(world.settings)), world.event_wakeup.notify):
        yield


async def _work(world: World, egress: Egress, stopping: asyncio.Event) -> None:
    interval = PollInterval(world.event_wakeup, active=world.settings.env == "development")
    async with asyncio.TaskGroup() as group:
        tasks = EndpointTasks(group)
        await run_rounds("webhooks", partial(_run_round, world, egress, tasks), partial(_wait, interval, tasks), stopping)


@dataclass
class EndpointTasks:
    """The endpoints that have a task, and whether any endpoint was enabled in the last round."""

    group: asyncio.TaskGroup
    busy: set[UUID] = field(default_factory=set)
    any_enabled: bool = False


async def _run_round(world: World, egress: Egress, tasks: EndpointTasks, stopping: asyncio.Event) -> bool:
    """Start a task for each endpoint that has due deliveries and no task yet."""
    tasks.any_enabled = False
    try:
        due = await outbox.find_due(world)
    except Exception:
        outbox.LAG.set(nan)  # unknown
        raise
    tasks.any_enabled = due.any_enabled
    for endpoint_id in set(due.endpoints) - tasks.busy:
        tasks.busy.add(endpoint_id)
        tasks.group.create_task(_drain(world, egress, tasks, endpoint_id, stopping))
    return False


async def _wait(interval: PollInterval, tasks: EndpointTasks, stopping: asyncio.Event) -> None:
    """Wait for the next poll. Every event causes a wake-up, so wake-ups count only if an endpoint is enabled."""
    if tasks.any_enabled:
        await interval.wait()
    else:
        await sleep_or_stop(stopping, interval.seconds)


async def _drain(world: World, egress: Egress, tasks: EndpointTasks, endpoint_id: UUID, stopping: asyncio.Event) -> None:
    try:
        await outbox.deliver_to_endpoint(world, egress, endpoint_id, stopping)
    except Exception as error:  # noqa: BLE001  it must not end the other tasks of the group
        log.warning("webhook_deliveries_stopped", cause=type(error).__name__, webhook=str(endpoint_id))
    finally:
        tasks.busy.discard(endpoint_id)
