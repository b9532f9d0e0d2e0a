"""The one list of what goes by itself after its time, and the one who takes it out: beside the application, from its start to its end.

Every replica does it; each batch is a transaction of its own that holds nobody up. Nothing depends on it for a right answer: whatever
is past its time counts no more, whether its row is still there or not.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from prometheus_client import Counter

from app.agreements import data_lifecycle as agreements
from app.background.tasks import background_task, sleep_or_stop
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
"""Seconds between two batches, so that SQLite's other writers get their turn."""

Step = Callable[[World], Awaitable[int]]
"""Deletes a batch, in a transaction of its own; how many rows."""

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
    "login_events": lambda world: events.delete_login_events(world, webhooks.has_pending_delivery()),
    "use_events": lambda world: events.delete_usage_events(world, webhooks.has_pending_delivery()),
}
"""What goes, by the name that the metric has for it. What others refer to comes after them."""

PRUNED = Counter("licentia_pruned_rows_total", "Rows deleted because their time was over", ["what"])
log = structlog.get_logger("licentia.housekeeping")


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    """Old rows go while the block runs. At its end a batch that is under way is finished first."""
    async with background_task(partial(_keep_house, world)):
        yield


async def _keep_house(world: World, leaving: asyncio.Event) -> None:
    while not leaving.is_set():
        await delete_expired(world, leaving)
        await sleep_or_stop(leaving, EVERY)


async def delete_expired(world: World, leaving: asyncio.Event | None = None) -> dict[str, int]:
    """One round through the whole list; how many rows went, by what they were. A step that fails waits for the next round."""
    leaving, gone = leaving or asyncio.Event(), dict[str, int]()
    for what, step in STEPS.items():
        try:
            gone[what] = await _all(world, what, step, leaving)
        except Exception as error:  # noqa: BLE001  a database that is away, above all: the next round may find it again
            log.warning("housekeeping_waits", what=what, cause=type(error).__name__)
    taken = {what: rows for what, rows in gone.items() if rows}
    if taken:
        log.info("pruned", **taken)
    return taken


async def _all(world: World, what: str, step: Step, leaving: asyncio.Event) -> int:
    rows = 0
    while not leaving.is_set() and (batch := await step(world)):
        PRUNED.labels(what).inc(batch)
        rows += batch
        await sleep_or_stop(leaving, PAUSE)
    return rows
