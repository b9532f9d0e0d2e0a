"""The outbox of webhooks: claim due deliveries of an endpoint, send them, and record the outcomes.

A database trigger creates the deliveries in the transaction that records the event (migration 0011). So no event is missed because its
transaction commits late, no event of a transaction that was rolled back is sent, and recording an event costs no extra statement.

Deliveries are sent at least once: if the process dies before it records the receiver's response, the claim expires and the delivery is
sent again. Only the first delivery of an ordering key is ever claimed, which keeps their order (`ordering.py`).
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from prometheus_client import Gauge
from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select
from sqlalchemy.orm import aliased

from app.background.outbox import claim_rows, is_unclaimed, process_rows, retry_recording
from app.db.base import table
from app.db.types import AnyRow
from app.events.models import Event
from app.webhooks import messages, ordering
from app.webhooks.delivery import outcomes
from app.webhooks.delivery.egress import Egress, NoResponse
from app.webhooks.delivery.outcomes import Attempt, DeliveryOutcome
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.world import World

ERASED = "user.erased"
BATCH = 8
"""Deliveries of one endpoint that are sent at once, each with another ordering key."""
RECORD_TIME = timedelta(seconds=45)
"""How much longer than the timeout of a request a claim lasts."""

LAG = Gauge("licentia_webhook_lag_seconds", "Seconds by which the oldest pending delivery is late; 0 if none is late")
ENDPOINTS = Gauge("licentia_webhooks", "Webhooks: well, failing, disabled by the service, switched_off by an operator", ["state"])
log = structlog.get_logger("licentia.webhooks")

_endpoint = select(*table(WebhookEndpoint).columns)
_erasure = aliased(Event)
_is_of_erased = exists().where(_erasure.user_id == Event.user_id, _erasure.type == ERASED)
_event = select(*table(Event).columns, _is_of_erased.label("is_of_erased"))


def _is_free(now: datetime) -> ColumnElement[bool]:
    return and_(ordering.IS_PENDING, WebhookDelivery.due_at <= now, is_unclaimed(WebhookDelivery.claimed_until, now))


def _is_receiving(now: datetime) -> ColumnElement[bool]:
    return and_(WebhookEndpoint.disabled_at.is_(None), or_(WebhookEndpoint.resume_at.is_(None), WebhookEndpoint.resume_at <= now))


@dataclass(frozen=True)
class DueEndpoints:
    """The endpoints that have due deliveries, and whether any endpoint is enabled."""

    endpoints: Sequence[UUID]
    any_enabled: bool


async def find_due(world: World) -> DueEndpoints:
    """Find the endpoints with due deliveries by one read, and set the metrics of lag and endpoint states."""
    now = world.clock.now()
    oldest = select(func.min(WebhookDelivery.due_at)).where(
        WebhookDelivery.endpoint_id == WebhookEndpoint.id, _is_free(now), _is_receiving(now)
    )
    columns = (WebhookEndpoint.id, WebhookEndpoint.disabled_at, WebhookEndpoint.disabled_reason, WebhookEndpoint.failing_since)
    async with world.db.query() as tx:
        rows = (await tx.execute(select(*columns, oldest.scalar_subquery().label("since")))).all()
    due = [row for row in rows if row.since is not None]
    LAG.set(max(((now - row.since).total_seconds() for row in due), default=0.0))
    states = Counter(_name_state(row) for row in rows)
    for state in ("well", "failing", "disabled", "switched_off"):
        ENDPOINTS.labels(state).set(states[state])
    return DueEndpoints([row.id for row in due], any(row.disabled_at is None for row in rows))


def _name_state(row: AnyRow) -> str:
    if row.disabled_at is not None:
        return "switched_off" if row.disabled_reason == "operator" else "disabled"
    return "well" if row.failing_since is None else "failing"


async def claim_deliveries(world: World, endpoint_id: UUID) -> list[AnyRow]:
    """Claim up to `BATCH` due deliveries of an endpoint."""
    now = world.clock.now()
    is_receiving = exists(select(1).where(WebhookEndpoint.id == endpoint_id, _is_receiving(now)))
    is_free = and_(WebhookDelivery.endpoint_id == endpoint_id, _is_free(now), is_receiving)
    candidates = select(WebhookDelivery.event_id).where(is_free, ordering.IS_FIRST)
    candidates = candidates.order_by(WebhookDelivery.due_at, WebhookDelivery.event_id).limit(BATCH)
    until = now + world.settings.webhook_timeout + RECORD_TIME
    statement = claim_rows(table(WebhookDelivery), candidates, is_free, until, tries=WebhookDelivery.tries + 1)
    async with world.db.write(commit_now=True) as tx:
        return list((await tx.execute(statement)).all())


async def deliver_to_endpoint(world: World, egress: Egress, endpoint_id: UUID, stopping: asyncio.Event) -> int:
    """Send the due deliveries of one endpoint until none is left or the stop event is set; return how many were claimed."""
    count = 0
    while not stopping.is_set() and (rows := await claim_deliveries(world, endpoint_id)):
        # Must be read after the claim: a later change of the URL makes the claim void.
        async with world.db.query() as tx:
            endpoint = (await tx.execute(_endpoint.where(WebhookEndpoint.id == endpoint_id))).first()
            events = {row.id: row for row in await tx.execute(_event.where(Event.id.in_([row.event_id for row in rows])))}
        if endpoint is None:
            break
        await process_rows(rows, partial(_deliver, world, egress, endpoint, events), outcomes.describe_delivery)
        count += len(rows)
    return count


async def _deliver(world: World, egress: Egress, endpoint: AnyRow, events: Mapping[UUID, AnyRow], row: AnyRow) -> None:
    """Send one delivery and record the outcome."""
    event = events.get(row.event_id)
    if event is None:
        record = partial(_delete_without_event, world, row)
    else:
        outcome = await _send(world, egress, endpoint, event, row)
        record = partial(outcomes.record_outcome, world, Attempt(row, endpoint.url, event.type), outcome)
    await retry_recording(record, outcomes.describe_delivery(row))


async def _send(world: World, egress: Egress, endpoint: AnyRow, event: AnyRow, row: AnyRow) -> DeliveryOutcome:
    """Send the request of one delivery and return the outcome, for any error too."""
    clock = asyncio.get_running_loop().time
    start = clock()
    try:
        body = messages.build_body(event)
        response = await egress.post(endpoint.url, body.encode(), messages.build_headers(world, endpoint, event, body))
        outcome = DeliveryOutcome.of(response)
    except NoResponse as error:
        outcome = DeliveryOutcome(error.reason)
    except Exception as error:  # noqa: BLE001  above all a secret that cannot be decrypted
        log.warning("webhook_not_sent", cause=type(error).__name__, **outcomes.describe_delivery(row))
        outcome = DeliveryOutcome("not_sent")
    if event.is_of_erased:
        outcome = replace(outcome, excerpt=None)  # the response may repeat personal data that the receiver still has
    return replace(outcome, ms=int((clock() - start) * 1000))


async def _delete_without_event(world: World, row: AnyRow) -> None:
    """Delete a delivery whose event was deleted by retention at the moment of a replay."""
    key = (WebhookDelivery.endpoint_id == row.endpoint_id, WebhookDelivery.event_id == row.event_id)
    async with world.db.write() as tx:
        await tx.execute(delete(WebhookDelivery).where(*key))
        await ordering.release_next(tx, row, world.clock.now())
