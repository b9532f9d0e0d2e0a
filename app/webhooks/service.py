"""Create, change and delete webhooks, and rotate their secrets."""

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
from app.webhooks.networks import parse_networks
from app.webhooks.problems import RotationUnderWay, TargetRefused, WebhookChanged, WebhookLimitReached, WebhookNotFound
from app.world import World

Values = dict[str, Any]
SECRET_BYTES = 32

_endpoints = select(*table(WebhookEndpoint).columns)


async def create_endpoint(world: World, actor: Actor, values: Values) -> tuple[AnyRow, str]:
    """Create a webhook; return it with its secret, which cannot be read again. Raises TargetRefused, WebhookLimitReached."""
    _must_be_allowed(world, values["url"])
    endpoint_id, secret = world.entropy.identifier(), _generate_secret(world)
    sealed = world.keys.sealer.seal(secret.encode(), Place("webhook_endpoints", "secret_sealed", endpoint_id))
    row = {**values, "id": endpoint_id, "created_at": world.clock.now(), "secret_sealed": sealed}
    try:
        async with world.db.write() as tx:
            row["slot"] = await _find_free_slot(tx)
            await tx.execute(insert(table(WebhookEndpoint)).values(row))
            await record(tx, world, "webhook.created", actor, ("webhook", endpoint_id), types=values["types"])
            return await read_endpoint(tx, endpoint_id), secret
    except IntegrityError as error:
        if dialect.violates_unique(error, table(WebhookEndpoint), "slot"):  # another request took the slot at the same moment
            raise Busy from error
        raise


async def _find_free_slot(tx: Transaction) -> int:
    taken = set((await tx.scalars(select(WebhookEndpoint.slot))).all())
    free = next((slot for slot in range(1, rules.MAX_ENDPOINTS + 1) if slot not in taken), None)
    if free is None:
        raise WebhookLimitReached(facts={"limit": rules.MAX_ENDPOINTS})
    return free


def _must_be_allowed(world: World, url: str) -> None:
    """Check a URL. Its name is resolved and checked later, at each delivery. Raises TargetRefused."""
    allowed = parse_networks(world.settings.webhook_allowed_networks)
    if fault := rules.find_url_fault(url, allowed, insecure=world.settings.env == "development"):
        raise TargetRefused(f"The URL {fault}.", field_error("/url", TargetRefused.code, fault))


def _generate_secret(world: World) -> str:
    return messages.PREFIX + b64encode(world.entropy.random_bytes(SECRET_BYTES)).decode()


async def read_endpoint(tx: Transaction, endpoint_id: UUID) -> AnyRow:
    """Read a webhook. A step. Raises WebhookNotFound."""
    row = (await tx.execute(_endpoints.where(WebhookEndpoint.id == endpoint_id))).one_or_none()
    if row is None:
        raise WebhookNotFound
    return row


async def get_endpoint(world: World, endpoint_id: UUID) -> AnyRow:
    """Return a webhook. Raises WebhookNotFound."""
    async with world.db.query() as tx:
        return await read_endpoint(tx, endpoint_id)


async def list_endpoints(world: World, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    """List a page of webhooks, newest first; return the rows and the next cursor."""
    async with world.db.query() as tx:
        return await read_page(tx, _endpoints, WebhookEndpoint.id, window)


async def change_endpoint(world: World, actor: Actor, endpoint_id: UUID, changes: Values) -> AnyRow:
    """Change fields. When the webhook is enabled or gets another URL, its pending deliveries are due at once.

    Events that occur while it is disabled get no delivery; a replay creates them. Raises WebhookNotFound, TargetRefused.
    """
    if "url" in changes:
        _must_be_allowed(world, changes["url"])
    async with world.db.write() as tx:
        before = await read_endpoint(tx, endpoint_id)
        values = _to_columns(changes, world, before)
        if (before.disabled_at is not None and changes.get("enabled")) or changes.get("url", before.url) != before.url:
            await _make_due(tx, world, endpoint_id)
            values |= {"failing_since": None, "resume_at": None}
        if values:
            await tx.execute(update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).values(values))
            await record(tx, world, "webhook.changed", actor, ("webhook", endpoint_id), fields=sorted(changes))
        return await read_endpoint(tx, endpoint_id)


def _to_columns(changes: Values, world: World, before: AnyRow) -> Values:
    values = {name: value for name, value in changes.items() if name != "enabled"}
    if changes.get("enabled") is True:
        return values | {"disabled_at": None, "disabled_reason": None}
    if changes.get("enabled") is False and before.disabled_at is None:
        return values | {"disabled_at": world.clock.now(), "disabled_reason": "operator"}
    return values


async def _make_due(tx: Transaction, world: World, endpoint_id: UUID) -> None:
    """Make the pending deliveries due and their claims void: a response of the old URL does not count for the new one.

    Locks deliveries before the endpoint, as the code that records an outcome does: this prevents deadlocks.
    """
    due = (WebhookDelivery.endpoint_id == endpoint_id, ordering.IS_PENDING, WebhookDelivery.due_at < rules.NOT_FIRST)
    await ordering.lock_deliveries(tx, *due)
    await tx.execute(update(WebhookDelivery).where(*due).values(due_at=world.clock.now(), tries=0, claimed_until=None))
    await ordering.release_first(tx, endpoint_id, world.clock.now())


async def end_pause(tx: Transaction, endpoint_id: UUID) -> None:
    """End the pause that the receiver requested, because an operator requests a delivery now. A step."""
    paused = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.resume_at.is_not(None))
    await tx.execute(paused.values(resume_at=None))


async def delete_endpoint(world: World, actor: Actor, endpoint_id: UUID) -> None:
    """Delete a webhook and all of its deliveries. Raises WebhookNotFound."""
    async with world.db.write() as tx:
        await read_endpoint(tx, endpoint_id)
        await ordering.lock_deliveries(tx, WebhookDelivery.endpoint_id == endpoint_id)
        await tx.execute(delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id))
        if (await tx.execute(delete(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id))).rowcount:
            await record(tx, world, "webhook.deleted", actor, ("webhook", endpoint_id))


async def rotate_secret(world: World, actor: Actor, endpoint_id: UUID, overlap: str | None) -> tuple[AnyRow, str]:
    """Replace the secret; return the webhook and the new secret. During `overlap`, requests are also signed with the old secret.

    `overlap` None: the old secret is invalid at once.

    Raises WebhookNotFound, WebhookChanged, and RotationUnderWay while the overlap of the previous rotation lasts: at most two secrets are
    valid at once.
    """
    now, secret = world.clock.now(), _generate_secret(world)
    until = now if overlap is None else _find_overlap_end(overlap, world)
    async with world.db.write() as tx:
        before = await read_endpoint(tx, endpoint_id)
        if until > now and before.previous_until is not None and before.previous_until > now:
            raise RotationUnderWay(facts={"previous_until": instant_text(before.previous_until)})
        sealer, (new, old) = world.keys.sealer, [messages.secret_place(column, before) for column in messages.COLUMNS]
        values: Values = {"secret_sealed": sealer.seal(secret.encode(), new), "previous_secret_sealed": None, "previous_until": None}
        if until > now:
            values |= {"previous_secret_sealed": sealer.seal(sealer.open(before.secret_sealed, new), old), "previous_until": until}
        unchanged = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.secret_sealed == before.secret_sealed)
        if not (await tx.execute(unchanged.values(values))).rowcount:
            raise WebhookChanged
        await record(tx, world, "webhook.secret_rotated", actor, ("webhook", endpoint_id))
        return await read_endpoint(tx, endpoint_id), secret


def _find_overlap_end(overlap: str, world: World) -> datetime:
    now = world.clock.now()
    try:
        until = Duration.parse(overlap).after(now)
    except OverflowError:
        until = None
    if until is None or until > now + rules.MAX_OVERLAP:
        raise Malformed([("/overlap", "too_long", f"must be at most {rules.MAX_OVERLAP.days} days")])
    return until
