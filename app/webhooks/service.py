"""Declaring webhooks, changing them, giving them other secrets."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.base.durations import Duration, instant_text
from app.base.problems import Busy, Malformed, field_error
from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.security.sealing import Place
from app.web.paging import PageWindow, read_page
from app.webhooks import messages, ordering, rules
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.webhooks.networks import networks
from app.webhooks.problems import RotationUnderWay, TargetRefused, WebhookChanged, WebhookLimitReached, WebhookNotFound
from app.webhooks.rules import BEHIND
from app.world import World

Values = dict[str, Any]
SECRET_OCTETS = 32

_endpoints = select(*table(WebhookEndpoint).columns)


async def create(world: World, actor: Actor, values: Values) -> tuple[AnyRow, str]:
    """The webhook, and its secret, which is shown this once. Raises TargetRefused, WebhookLimitReached."""
    _must_be_sendable(world, values["url"])
    endpoint_id, secret = world.entropy.identifier(), _fresh_secret(world)
    sealed = world.keys.sealer.seal(secret.encode(), Place("webhook_endpoints", "secret_sealed", endpoint_id))
    row = {**values, "id": endpoint_id, "created_at": world.clock.now(), "secret_sealed": sealed}
    try:
        async with world.db.write() as tx:
            row["slot"] = await _free_slot(tx)
            await tx.execute(insert(table(WebhookEndpoint)).values(row))
            await record(tx, world, "webhook.created", actor, ("webhook", endpoint_id), types=values["types"])
            return await one(tx, endpoint_id), secret
    except IntegrityError as error:
        if dialect.violates_unique(error, table(WebhookEndpoint), "slot"):  # another one took it at the same moment
            raise Busy from error
        raise


async def _free_slot(tx: Transaction) -> int:
    taken = set((await tx.scalars(select(WebhookEndpoint.slot))).all())
    free = next((slot for slot in range(1, rules.ENDPOINTS + 1) if slot not in taken), None)
    if free is None:
        raise WebhookLimitReached(facts={"limit": rules.ENDPOINTS})
    return free


def _must_be_sendable(world: World, url: str) -> None:
    """Raises TargetRefused. A name is asked for only when something is sent: then it counts what it means."""
    allowed = networks(world.settings.webhook_allowed_networks)
    if sentence := rules.fault(url, allowed, insecure=world.settings.env == "development"):
        raise TargetRefused(sentence.capitalize() + ".", field_error("/url", TargetRefused.code, sentence))


def _fresh_secret(world: World) -> str:
    return messages.PREFIX + b64encode(world.entropy.random_bytes(SECRET_OCTETS)).decode()


async def one(tx: Transaction, endpoint_id: UUID) -> AnyRow:
    """A step. Raises WebhookNotFound."""
    row = (await tx.execute(_endpoints.where(WebhookEndpoint.id == endpoint_id))).one_or_none()
    if row is None:
        raise WebhookNotFound
    return row


async def endpoint(world: World, endpoint_id: UUID) -> AnyRow:
    async with world.db.query() as tx:
        return await one(tx, endpoint_id)


async def endpoints(world: World, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.query() as tx:
        return await read_page(tx, _endpoints, WebhookEndpoint.id, window)


async def change(world: World, actor: Actor, endpoint_id: UUID, changes: Values) -> AnyRow:
    """Change fields. What is pending goes on at once when the webhook is enabled again or gets another address.

    What happens while it is disabled is not collected for it; a replay makes up for that.
    """
    if "url" in changes:
        _must_be_sendable(world, changes["url"])
    async with world.db.write() as tx:
        before = await one(tx, endpoint_id)
        values = _columns(changes, world, before)
        if (before.disabled_at is not None and changes.get("enabled")) or changes.get("url", before.url) != before.url:
            await _hurry(tx, world, endpoint_id)
            values |= {"failing_since": None, "resume_at": None}
        if values:
            await tx.execute(update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).values(values))
            await record(tx, world, "webhook.changed", actor, ("webhook", endpoint_id), fields=sorted(changes))
        return await one(tx, endpoint_id)


def _columns(changes: Values, world: World, before: AnyRow) -> Values:
    values = {name: value for name, value in changes.items() if name != "enabled"}
    if changes.get("enabled") is True:
        return values | {"disabled_at": None, "disabled_reason": None}
    if changes.get("enabled") is False and before.disabled_at is None:
        return values | {"disabled_at": world.clock.now(), "disabled_reason": "operator"}
    return values


async def _hurry(tx: Transaction, world: World, endpoint_id: UUID) -> None:
    """Deliveries before the endpoint: in the order of whoever marks one, so that the two never wait for each other. Claims that are out
    are void: what the old address answers is no answer of the new one."""
    due = (WebhookDelivery.endpoint_id == endpoint_id, ordering.PENDING, WebhookDelivery.due_at < BEHIND)
    await ordering.held(tx, *due)
    await tx.execute(update(WebhookDelivery).where(*due).values(due_at=world.clock.now(), tries=0, claimed_until=None))
    await ordering.led(tx, endpoint_id, world.clock.now())


async def resumed(tx: Transaction, endpoint_id: UUID) -> None:
    """A step. Whoever asks for something to be sent does not wait until the receiver's own pause is over."""
    paused = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.resume_at.is_not(None))
    await tx.execute(paused.values(resume_at=None))


async def remove(world: World, actor: Actor, endpoint_id: UUID) -> None:
    """Delete a webhook with all of its deliveries. Raises WebhookNotFound."""
    async with world.db.write() as tx:
        await one(tx, endpoint_id)
        await ordering.held(tx, WebhookDelivery.endpoint_id == endpoint_id)
        await tx.execute(delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id))
        if (await tx.execute(delete(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id))).rowcount:
            await record(tx, world, "webhook.deleted", actor, ("webhook", endpoint_id))


async def rotate_secret(world: World, actor: Actor, endpoint_id: UUID, overlap: str | None) -> tuple[AnyRow, str]:
    """A new secret, shown this once. The one before signs beside it for `overlap`; null: it is void at once.

    Raises WebhookNotFound, WebhookChanged, RotationUnderWay: two secrets at most are good, and the older was promised its time.
    """
    now, fresh = world.clock.now(), _fresh_secret(world)
    until = now if overlap is None else _until(overlap, world)
    async with world.db.write() as tx:
        before = await one(tx, endpoint_id)
        if until > now and before.previous_until is not None and before.previous_until > now:
            raise RotationUnderWay(facts={"previous_until": instant_text(before.previous_until)})
        sealer, (new, old) = world.keys.sealer, [messages.place(column, before) for column in messages.COLUMNS]
        values: Values = {"secret_sealed": sealer.seal(fresh.encode(), new), "previous_secret_sealed": None, "previous_until": None}
        if until > now:
            values |= {"previous_secret_sealed": sealer.seal(sealer.open(before.secret_sealed, new), old), "previous_until": until}
        same = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.secret_sealed == before.secret_sealed)
        if not (await tx.execute(same.values(values))).rowcount:
            raise WebhookChanged
        await record(tx, world, "webhook.secret_rotated", actor, ("webhook", endpoint_id))
        return await one(tx, endpoint_id), fresh


def _until(overlap: str, world: World) -> datetime:
    now = world.clock.now()
    try:
        until = Duration.parse(overlap).after(now)
    except OverflowError:
        until = None
    if until is None or until > now + rules.LONGEST_OVERLAP:
        raise Malformed([("/overlap", "too_long", f"wants {rules.LONGEST_OVERLAP.days} days at most")])
    return until
