"""Telling endpoints what happened: claim, send outside of any transaction, mark. Each step is one guarded statement.

How an event becomes deliveries: the database makes them itself, by a trigger in the transaction that records the event (migration
0011). There is no reading after a mark, by id or by time, that would miss an event whose transaction commits late; what is rolled
back is never told; and recording an event costs no statement more, whether or not anybody listens.

At least once: whoever dies between the receiver's yes and the mark loses the claim, and the delivery is made again. In order for each
line (`lines.py`): only its first delivery is ever claimed, until it is delivered or given up; other lines go on.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Gauge
from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from app.db.base import table
from app.db.types import AnyRow
from app.events.models import Event
from app.webhooks import messages, ordering
from app.webhooks.delivery import outcomes
from app.webhooks.delivery.egress import Egress, Unsent
from app.webhooks.delivery.outcomes import Claim, Outcome
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.world import World

ERASED = "user.erased"
BATCH = 8
"""Deliveries of one endpoint that are under way at once, each of another line."""
MARKED_WITHIN = timedelta(seconds=45)
"""How much longer than a delivery its claim lasts."""

LAG = Gauge("licentia_webhook_lag_seconds", "For how long the delivery that is due the longest has waited")
ENDPOINTS = Gauge("licentia_webhooks", "Webhooks by how they are: well, failing, disabled by us or by an operator", ["state"])
log = structlog.get_logger("licentia.webhooks")

_endpoint = select(*table(WebhookEndpoint).columns)
_erased = aliased(Event)
_event = select(*table(Event).columns, exists().where(_erased.user_id == Event.user_id, _erased.type == ERASED).label("of_erased"))


def _free(now: datetime) -> ColumnElement[bool]:
    unclaimed = or_(WebhookDelivery.claimed_until.is_(None), WebhookDelivery.claimed_until <= now)
    return and_(ordering.PENDING, WebhookDelivery.due_at <= now, unclaimed)


def _listening(now: datetime) -> ColumnElement[bool]:
    return and_(WebhookEndpoint.disabled_at.is_(None), or_(WebhookEndpoint.resume_at.is_(None), WebhookEndpoint.resume_at <= now))


async def look(world: World) -> tuple[Sequence[UUID], bool]:
    """(the endpoints that something is due for, whether anybody listens at all). One read, no write."""
    now = world.clock.now()
    first = select(func.min(WebhookDelivery.due_at)).where(WebhookDelivery.endpoint_id == WebhookEndpoint.id, _free(now), _listening(now))
    columns = (WebhookEndpoint.id, WebhookEndpoint.disabled_at, WebhookEndpoint.disabled_reason, WebhookEndpoint.failing_since)
    async with world.db.query() as tx:
        rows = (await tx.execute(select(*columns, first.scalar_subquery().label("since")))).all()
    due = [row for row in rows if row.since is not None]
    LAG.set(max(((now - row.since).total_seconds() for row in due), default=0.0))
    states = Counter(_state(row) for row in rows)
    for state in ("well", "failing", "disabled", "switched_off"):
        ENDPOINTS.labels(state).set(states[state])
    return [row.id for row in due], any(row.disabled_at is None for row in rows)


def _state(row: AnyRow) -> str:
    if row.disabled_at is not None:
        return "switched_off" if row.disabled_reason == "operator" else "disabled"
    return "well" if row.failing_since is None else "failing"


async def claim(world: World, endpoint_id: UUID) -> list[AnyRow]:
    """Take a few due deliveries. Replicas that ask at once get different ones (SKIP LOCKED; SQLite has one writer)."""
    now = world.clock.now()
    listens = exists(select(1).where(WebhookEndpoint.id == endpoint_id, _listening(now)))
    free = and_(WebhookDelivery.endpoint_id == endpoint_id, _free(now), listens)
    first = select(WebhookDelivery.event_id).where(free, ordering.FIRST).order_by(WebhookDelivery.due_at, WebhookDelivery.event_id)
    picked = first.limit(BATCH).with_for_update(skip_locked=True, of=WebhookDelivery).cte("picked")
    until = now + world.settings.webhook_timeout + MARKED_WITHIN
    taken = (
        update(WebhookDelivery)
        .where(WebhookDelivery.event_id.in_(select(picked.c.event_id)), free)
        .values(attempts=WebhookDelivery.attempts + 1, tries=WebhookDelivery.tries + 1, claimed_until=until)
        .returning(*table(WebhookDelivery).columns)
    )
    async with world.db.write(commit_now=True) as tx:
        return list((await tx.execute(taken)).all())


async def deliver_due(world: World, egress: Egress) -> int:
    """Send all that is due, to each endpoint by itself; how many deliveries were taken."""
    endpoints, _ = await look(world)
    return sum(await asyncio.gather(*(drain(world, egress, endpoint, asyncio.Event()) for endpoint in endpoints)))


async def drain(world: World, egress: Egress, endpoint_id: UUID, leaving: asyncio.Event) -> int:
    """Send what is due for one endpoint until nothing is, or it is time to leave; how many deliveries were taken."""
    taken = 0
    while not leaving.is_set() and (rows := await claim(world, endpoint_id)):
        taken += len(rows)
        # Read after the claim: whoever changes the address later makes the claim void.
        async with world.db.query() as tx:
            endpoint = (await tx.execute(_endpoint.where(WebhookEndpoint.id == endpoint_id))).first()
            events = {row.id: row for row in await tx.execute(_event.where(Event.id.in_([row.event_id for row in rows])))}
        if endpoint is None:
            break
        await asyncio.gather(*(_handled(world, egress, endpoint, row, events.get(row.event_id)) for row in rows))
    return taken


async def _handled(world: World, egress: Egress, endpoint: AnyRow, row: AnyRow, event: AnyRow | None) -> None:
    """One delivery, whose troubles are its own: when its claim runs out it is made again."""
    try:
        if event is None:
            await _forgotten(world, row)
        else:
            await _deliver(world, egress, endpoint, row, event)
    except Exception as error:  # noqa: BLE001  above all a database that is away
        log.warning("webhook_left", cause=type(error).__name__, webhook=str(endpoint.id), of=str(row.event_id))


async def _forgotten(world: World, row: AnyRow) -> None:
    """Its event went by retention at the very moment when it was replayed: there is nothing to tell."""
    gone = delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == row.endpoint_id, WebhookDelivery.event_id == row.event_id)
    async with world.db.write() as tx:
        await tx.execute(gone)
        await ordering.moved_up(tx, row, world.clock.now())


async def _deliver(world: World, egress: Egress, endpoint: AnyRow, row: AnyRow, event: AnyRow) -> None:
    """Send one claimed delivery and say how it went. Whatever goes wrong, it waits for its next try."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    try:
        body = messages.body(event)
        answer = await egress.post(endpoint.url, body.encode(), messages.headers(world, endpoint, event, body))
        outcome = Outcome.answered(answer)
    except Unsent as unsent:
        outcome = Outcome(unsent.word)
    except Exception as error:  # noqa: BLE001  a secret that does not open, above all
        log.warning("webhook_not_sent", cause=type(error).__name__, webhook=str(endpoint.id), of=str(event.id))
        outcome = Outcome("not_sent")
    if event.of_erased:
        outcome = replace(outcome, excerpt=None)  # the receiver may repeat whom it knew
    await outcomes.marked(world, Claim(row, endpoint.url, event.type), replace(outcome, ms=int((clock() - begun) * 1000)))
