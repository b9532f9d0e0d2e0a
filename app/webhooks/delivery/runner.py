"""Background worker that delivers webhooks. Errors are logged and never stop it.

Each endpoint with due deliveries gets its own task, so that a receiver that hangs does not delay the others.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    async with background_task(DeliveryWorker(world, egress or Egress.of(world.settings)), world.event_wakeup.notify):
        yield


class DeliveryWorker:
    """Starts one task for each endpoint with due deliveries. `busy`: the endpoints that have a task."""

    def __init__(self, world: World, egress: Egress) -> None:
        self.world = world
        self.egress = egress
        self.interval = PollInterval(world.event_wakeup, active=world.settings.env == "development")
        self.busy: set[UUID] = set()
        self.any_enabled = False

    async def __call__(self, stopping: asyncio.Event) -> None:
        """Run rounds until the stop event is set, then wait for the tasks."""
        async with asyncio.TaskGroup() as group:
            await run_rounds("webhooks", partial(self._run_round, group), self._wait, stopping)

    async def _run_round(self, group: asyncio.TaskGroup, stopping: asyncio.Event) -> bool:
        """Start a task for each endpoint that has due deliveries and no task yet."""
        self.any_enabled = False
        try:
            due = await outbox.find_due(self.world)
        except Exception:
            outbox.LAG.set(nan)  # unknown
            raise
        self.any_enabled = due.any_enabled
        for endpoint_id in set(due.endpoints) - self.busy:
            self.busy.add(endpoint_id)
            group.create_task(self._deliver(endpoint_id, stopping))
        return False

    async def _wait(self, stopping: asyncio.Event) -> None:
        """Wait for the next poll. Every event causes a wake-up, so wake-ups count only if an endpoint is enabled."""
        if self.any_enabled:
            await self.interval.wait()
        else:
            await sleep_or_stop(stopping, self.interval.seconds)

    async def _deliver(self, endpoint_id: UUID, stopping: asyncio.Event) -> None:
        try:
            await outbox.deliver_to_endpoint(self.world, self.egress, endpoint_id, stopping)
        except Exception as error:  # noqa: BLE001  it must not end the other tasks of the group
            log.warning("webhook_deliveries_stopped", cause=type(error).__name__, webhook=str(endpoint_id))
        finally:
            self.busy.discard(endpoint_id)
