"""Looking at deliveries, making them again, and telling an endpoint something for a test."""

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
from app.webhooks.models import State, WebhookDelivery
from app.webhooks.problems import DeliveryNotFound, WebhookDisabled
from app.webhooks.rules import BEHIND
from app.world import World

COLUMNS = ("endpoint_id", "event_id", "subject_id", "state", "attempts", "tries", "created_at", "due_at")

_deliveries = select(*table(WebhookDelivery).columns, Event.type).join(Event, Event.id == WebhookDelivery.event_id)


@dataclass(frozen=True)
class Past:
    """`since <= at < until`; `until` None: now. `types` None: all that the webhook listens to. `after`: of the events of the very instant
    `since`, only those behind this one."""

    since: datetime
    until: datetime | None = None
    after: UUID | None = None
    types: Sequence[str] | None = None


async def deliveries(world: World, endpoint_id: UUID, window: PageWindow, state: State | None) -> tuple[Sequence[AnyRow], str | None]:
    """Those of newer events first. Raises WebhookNotFound."""
    wanted = _deliveries.where(WebhookDelivery.endpoint_id == endpoint_id)
    if state is not None:
        wanted = wanted.where(WebhookDelivery.state == state)
    async with world.db.query() as tx:
        await service.one(tx, endpoint_id)
        return await read_page(tx, wanted, WebhookDelivery.event_id, window)


async def delivery(world: World, endpoint_id: UUID, event_id: UUID) -> AnyRow:
    async with world.db.query() as tx:
        return await _one(tx, endpoint_id, event_id)


async def _one(tx: Transaction, endpoint_id: UUID, event_id: UUID) -> AnyRow:
    named = (WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.event_id == event_id)
    row = (await tx.execute(_deliveries.where(*named))).one_or_none()
    if row is None:
        await service.one(tx, endpoint_id)
        raise DeliveryNotFound
    return row


async def again(world: World, actor: Actor, endpoint_id: UUID, event_id: UUID) -> AnyRow:
    """Make one delivery once more; one that waits for its next try has it now.

    Raises WebhookNotFound, DeliveryNotFound, WebhookDisabled.
    """
    async with world.db.write() as tx:
        await _must_be_enabled(tx, endpoint_id)
        await _one(tx, endpoint_id, event_id)
        named = (WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.event_id == event_id)
        await tx.execute(update(WebhookDelivery).where(*named).values(ordering.anew()))
        await ordering.led(tx, endpoint_id, world.clock.now())
        await service.resumed(tx, endpoint_id)
        await record(tx, world, "webhook.replayed", actor, ("webhook", endpoint_id), event=str(event_id))
        return await _one(tx, endpoint_id, event_id)


async def _must_be_enabled(tx: Transaction, endpoint_id: UUID) -> AnyRow:
    row = await service.one(tx, endpoint_id)
    if row.disabled_at is not None:
        raise WebhookDisabled("Enable it first.")
    return row


async def replay(world: World, actor: Actor, endpoint_id: UUID, wanted: Past) -> tuple[int, AnyRow | None]:
    """Make the deliveries of past events again, and those that were never made: the oldest thousand of what is wanted and of what the
    webhook listens to. (how many, behind which event to go on if there are more). Raises WebhookNotFound, WebhookDisabled.
    """
    now = world.clock.now()
    async with world.db.write() as tx:
        endpoint = await _must_be_enabled(tx, endpoint_id)
        kinds = set(match_kinds(endpoint.types)) & set(match_kinds(wanted.types or endpoint.types)) - {TEST}
        fitting = (_from(wanted), Event.at < (wanted.until or now), Event.type.in_(sorted(kinds)))
        oldest = select(Event.id, Event.at).where(*fitting).order_by(Event.at, Event.id).limit(rules.REPLAYED + 1)
        rows = (await tx.execute(oldest)).all()
        picked = rows[: rules.REPLAYED]
        await _made_again(tx, endpoint_id, [row.id for row in picked], now)
        await service.resumed(tx, endpoint_id)
        await record(tx, world, "webhook.replayed", actor, ("webhook", endpoint_id), count=len(picked))
    return len(picked), picked[-1] if len(rows) > len(picked) else None


def _from(wanted: Past) -> ColumnElement[bool]:
    if wanted.after is None:
        return Event.at >= wanted.since
    return or_(Event.at > wanted.since, and_(Event.at == wanted.since, Event.id > wanted.after))


async def _made_again(tx: Transaction, endpoint_id: UUID, events: Sequence[UUID], now: datetime) -> None:
    there = (WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.event_id.in_(events))
    await ordering.held(tx, *there)
    missing = _made(endpoint_id, BEHIND).where(Event.id.in_(events))
    await dialect.insert_missing(tx, WebhookDelivery, COLUMNS, missing)
    await tx.execute(update(WebhookDelivery).where(*there).values(ordering.anew()))
    await ordering.led(tx, endpoint_id, now)


def _made(endpoint_id: UUID, due: datetime, line: ColumnElement[UUID] = ordering.OF_EVENT) -> AnySelect:
    """The `COLUMNS` of a delivery for each event, as the trigger makes them."""
    nothing, pending = literal(0), literal(State.PENDING.value)
    return select(literal(endpoint_id, Uuid()), Event.id, line, pending, nothing, nothing, Event.at, literal(due, UtcDateTime()))


async def test(world: World, actor: Actor, endpoint_id: UUID) -> AnyRow:
    """Tell the endpoint, and nobody else, a `webhook.test`, whatever types it wants. It is tried once and stands in a line of its own.

    Raises WebhookNotFound, WebhookDisabled.
    """
    async with world.db.write() as tx:
        await _must_be_enabled(tx, endpoint_id)
        await service.resumed(tx, endpoint_id)
        event_id = await record(tx, world, TEST, actor, ("webhook", endpoint_id))
        made = _made(endpoint_id, world.clock.now(), table(Event).c.id).where(Event.id == event_id)
        await dialect.insert_missing(tx, WebhookDelivery, COLUMNS, made)
        return await _one(tx, endpoint_id, event_id)
