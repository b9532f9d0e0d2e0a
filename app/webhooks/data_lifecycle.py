"""Erasure and retention of deliveries."""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select, update

from app.db.database import Transaction
from app.db.pruning import prune
from app.events.models import Event
from app.webhooks import ordering
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.world import World


async def erase(tx: Transaction, user_id: UUID) -> None:
    """Delete the excerpts of receivers' responses to events of the user: they may repeat personal data. A step."""
    of_user = (  # both columns of the primary key, the only index that fits
        WebhookDelivery.endpoint_id.in_(select(WebhookEndpoint.id)),
        WebhookDelivery.event_id.in_(select(Event.id).where(Event.user_id == user_id)),
    )
    has_answer = or_(WebhookDelivery.last_excerpt.is_not(None), WebhookDelivery.claimed_until.is_not(None))
    await ordering.lock_deliveries(tx, *of_user, has_answer)
    # A running request loses its claim, so its response is discarded. The delivery is sent again, with the erased event.
    await tx.execute(update(WebhookDelivery).where(*of_user, has_answer).values(last_excerpt=None, claimed_until=None))


async def prune_deliveries(world: World) -> int:
    """Delete a batch of deliveries that were settled longer than `WEBHOOK_RETENTION` ago; return how many.

    When none is left, delete pending deliveries whose endpoint was deleted, or disabled longer than `WEBHOOK_RETENTION` ago.
    """
    limit = world.clock.now() - world.settings.webhook_retention
    active = or_(WebhookEndpoint.disabled_at.is_(None), WebhookEndpoint.disabled_at > limit)
    orphaned = and_(ordering.IS_PENDING, WebhookDelivery.endpoint_id.not_in(select(WebhookEndpoint.id).where(active)))
    settled = await prune(world.db, WebhookDelivery, WebhookDelivery.settled_at <= limit)
    return settled or await prune(world.db, WebhookDelivery, orphaned)


def has_pending_delivery() -> ColumnElement[bool]:
    """Return the SQL condition that an event has a pending delivery. Uses both columns of the primary key, the only index that fits."""
    key = (WebhookDelivery.endpoint_id == WebhookEndpoint.id, WebhookDelivery.event_id == Event.id)
    return exists().where(*key, ordering.IS_PENDING)
