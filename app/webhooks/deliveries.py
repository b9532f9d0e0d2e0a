"""List deliveries, replay them, and send a test event to an endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, and_, literal, or_, select, update

from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect, UtcDateTime
from app.events.kinds import TEST, match_kinds
from app.events.models import Event
from app.events.service import Actor, record
from app.web.paging import PageWindow, read_page
from app.webhooks import ordering, rules, service
from app.webhooks.models import DeliveryState, WebhookDelivery
from app.webhooks.problems import DeliveryNotFound, WebhookDisabled
from app.world import World

COLUMNS = ("endpoint_id", "event_id", "subject_id", "state", "attempts", "tries", "created_at", "due_at")
"""The columns that a new delivery is inserted with."""

_deliveries = select(*table(WebhookDelivery).columns, Event.type).join(Event, Event.id == WebhookDelivery.event_id)


@dataclass(frozen=True)
class EventRange:
    """The events to replay: `since <= at < until`. `until` None: now. `types` None: all types of the webhook.

    `after`: the last event of the previous call; of the events at exactly `since`, only those with a higher id are replayed.
    """

    since: datetime
    until: datetime | None = None
    after: UUID | None = None
    types: Sequence[str] | None = None


async def list_deliveries(
    world: World, endpoint_id: UUID, window: PageWindow, state: DeliveryState | None
) -> tuple[Sequence[AnyRow], str | None]:
    """List a page of deliveries, newest events first. Raises WebhookNotFound."""
    statement = _deliveries.where(WebhookDelivery.endpoint_id == endpoint_id)
    if state is not None:
        statement = statement.where(WebhookDelivery.state == state)
    async with world.db.query() as tx:
        await service.read_endpoint(tx, endpoint_id)
        return await read_page(tx, statement, WebhookDelivery.event_id, window)


async def get_delivery(world: World, endpoint_id: UUID, event_id: UUID) -> AnyRow:
    """Return one delivery. Raises WebhookNotFound, DeliveryNotFound."""
    async with world.db.query() as tx:
        return await _read_delivery(tx, endpoint_id, event_id)


def _has_key(endpoint_id: UUID, event_id: UUID) -> ColumnElement[bool]:
    return and_(WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.event_id == event_id)


async def _read_delivery(tx: Transaction, endpoint_id: UUID, event_id: UUID) -> AnyRow:
    row = (await tx.execute(_deliveries.where(_has_key(endpoint_id, event_id)))).one_or_none()
    if row is None:
        await service.read_endpoint(tx, endpoint_id)
        raise DeliveryNotFound
    return row


async def replay_delivery(world: World, actor: Actor, endpoint_id: UUID, event_id: UUID) -> AnyRow:
    """Reset one delivery so that it is sent again. If it waits for its next try, it is tried now.

    Raises WebhookNotFound, DeliveryNotFound, WebhookDisabled.
    """
    async with world.db.write() as tx:
        await _read_enabled(tx, endpoint_id)
        await _read_delivery(tx, endpoint_id, event_id)
        await tx.execute(update(WebhookDelivery).where(_has_key(endpoint_id, event_id)).values(ordering.reset_values()))
        await ordering.release_first(tx, endpoint_id, world.clock.now())
        await service.end_pause(tx, endpoint_id)
        await record(tx, world, "webhook.replayed", actor, ("webhook", endpoint_id), event=str(event_id))
        return await _read_delivery(tx, endpoint_id, event_id)


async def _read_enabled(tx: Transaction, endpoint_id: UUID) -> AnyRow:
    """Return the webhook. Raises WebhookNotFound, WebhookDisabled."""
    row = await service.read_endpoint(tx, endpoint_id)
    if row.disabled_at is not None:
        raise WebhookDisabled("Enable the webhook first.")
    return row


async def replay_events(world: World, actor: Actor, endpoint_id: UUID, events: EventRange) -> tuple[int, AnyRow | None]:
    """Deliver the oldest `MAX_REPLAY` events in the range again, including events that were never delivered to the webhook.

    Returns the number of events, and the last one if there are more. Raises WebhookNotFound, WebhookDisabled.
    """
    now = world.clock.now()
    async with world.db.write() as tx:
        endpoint = await _read_enabled(tx, endpoint_id)
        types = set(match_kinds(endpoint.types)) & set(match_kinds(events.types or endpoint.types)) - {TEST}
        in_range = (_is_from(events), Event.at < (events.until or now), Event.type.in_(sorted(types)))
        oldest = select(Event.id, Event.at).where(*in_range).order_by(Event.at, Event.id).limit(rules.MAX_REPLAY + 1)
        rows = (await tx.execute(oldest)).all()
        picked = rows[: rules.MAX_REPLAY]
        await _reset_deliveries(tx, endpoint_id, [row.id for row in picked], now)
        await service.end_pause(tx, endpoint_id)
        await record(tx, world, "webhook.replayed", actor, ("webhook", endpoint_id), count=len(picked))
    return len(picked), picked[-1] if len(rows) > len(picked) else None


def _is_from(events: EventRange) -> ColumnElement[bool]:
    if events.after is None:
        return Event.at >= events.since
    return or_(Event.at > events.since, and_(Event.at == events.since, Event.id > events.after))


async def _reset_deliveries(tx: Transaction, endpoint_id: UUID, events: Sequence[UUID], now: datetime) -> None:
    """Reset the existing deliveries of the events and insert the missing ones."""
    existing = (WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.event_id.in_(events))
    await ordering.lock_deliveries(tx, *existing)
    missing = _new_deliveries(endpoint_id, rules.NOT_FIRST).where(Event.id.in_(events))
    await dialect.insert_missing(tx, WebhookDelivery, COLUMNS, missing)
    await tx.execute(update(WebhookDelivery).where(*existing).values(ordering.reset_values()))
    await ordering.release_first(tx, endpoint_id, now)


def _new_deliveries(endpoint_id: UUID, due_at: datetime, key: ColumnElement[UUID] = ordering.ORDERING_KEY) -> AnySelect:
    """Select the `COLUMNS` of a new delivery for each event, as the trigger inserts them."""
    zero, pending = literal(0), literal(DeliveryState.PENDING.value)
    return select(literal(endpoint_id, Uuid()), Event.id, key, pending, zero, zero, Event.at, literal(due_at, UtcDateTime()))


async def send_test(world: World, actor: Actor, endpoint_id: UUID) -> AnyRow:
    """Record a `webhook.test` event that only this endpoint gets, even if its types do not match. It is tried once.

    Its own id is the ordering key, so that it does not wait for other deliveries.

    Raises WebhookNotFound, WebhookDisabled.
    """
    async with world.db.write() as tx:
        await _read_enabled(tx, endpoint_id)
        await service.end_pause(tx, endpoint_id)
        event_id = await record(tx, world, TEST, actor, ("webhook", endpoint_id))
        delivery = _new_deliveries(endpoint_id, world.clock.now(), table(Event).c.id).where(Event.id == event_id)
        await dialect.insert_missing(tx, WebhookDelivery, COLUMNS, delivery)
        return await _read_delivery(tx, endpoint_id, event_id)
