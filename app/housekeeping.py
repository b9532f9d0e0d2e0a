"""Background task that deletes expired rows. `STEPS` lists all of them.

Every replica runs it, in small transactions. It only saves space: an expired row has no effect, whether it was deleted or not.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from prometheus_client import Counter

from app.agreements import data_lifecycle as agreements
from app.background.tasks import sleep_or_stop
from app.background.worker import timed_worker
from app.events import data_lifecycle as events
from app.licenses import data_lifecycle as licenses
from app.login import data_lifecycle as login
from app.mail import data_lifecycle as mail
from app.web import counters
from app.web.pipeline import idempotency as web
from app.webhooks import data_lifecycle as webhooks
from app.world import World

EVERY = 600.0
"""Seconds between two rounds."""
PAUSE = 0.05
"""Seconds between two batches, so that other writers of SQLite get a turn."""

Step = Callable[[World], Awaitable[int]]
"""Deletes a batch in its own transaction and returns how many rows."""

STEPS: dict[str, Step] = {
    "kept_answers": web.prune_answers,
    "failure_counts": counters.prune_failure_counts,
    "logins": login.prune_logins,
    "refresh_tokens": login.prune_refresh_tokens,
    "passkey_ceremonies": login.prune_passkey_ceremonies,
    "device_codes": login.prune_device_codes,
    "sessions": login.prune_sessions,
    "one_time_tokens": login.prune_one_time_tokens,
    "throttles": counters.prune_counters,
    "enrolments": login.prune_enrolments,
    "letters": mail.prune_letters,
    "session_seats": licenses.prune_session_seats,
    "presentations": agreements.prune_presentations,
    "contexts": agreements.prune_contexts,
    "webhook_deliveries": webhooks.prune_deliveries,
    "login_events": lambda world: events.prune_login_events(world, webhooks.has_pending_delivery()),
    "use_events": lambda world: events.prune_usage_events(world, webhooks.has_pending_delivery()),
}
"""The steps by their label in the metric. Rows that other rows refer to are deleted after those rows."""

PRUNED = Counter("licentia_pruned_rows_total", "Rows deleted because they had expired", ["what"])
log = structlog.get_logger("licentia.housekeeping")


@asynccontextmanager
async def run(world: World) -> AsyncIterator[None]:
    """Delete expired rows while the block runs. At its end, wait until the current batch is finished."""

    async def run_round(stopping: asyncio.Event) -> bool:
        await delete_expired(world, stopping)
        return False

    async with timed_worker("housekeeping", run_round, EVERY):
        yield


async def delete_expired(world: World, stopping: asyncio.Event | None = None) -> dict[str, int]:
    """Run all steps once. Returns how many rows each step deleted, without the steps that deleted none.

    A step that fails is logged and waits for the next round.
    """
    stopping, deleted = stopping or asyncio.Event(), dict[str, int]()
    for what, step in STEPS.items():
        try:
            deleted[what] = await _repeat_step(world, what, step, stopping)
        except Exception as error:  # noqa: BLE001  above all an unreachable database: the next round may reach it again
            log.warning("housekeeping_waits", what=what, cause=type(error).__name__)
    deleted = {what: rows for what, rows in deleted.items() if rows}
    if deleted:
        log.info("pruned", **deleted)
    return deleted


async def _repeat_step(world: World, what: str, step: Step, stopping: asyncio.Event) -> int:
    """Repeat a step until it finds no more rows."""
    rows = 0
    while not stopping.is_set() and (batch := await step(world)):
        PRUNED.labels(what).inc(batch)
        rows += batch
        await sleep_or_stop(stopping, PAUSE)
    return rows
