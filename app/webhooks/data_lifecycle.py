"""Forgetting what receivers answered about an end user: they may have repeated what they were sent. That they were told stays."""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select, update

from app.db.database import Transaction
from app.db.pruning import prune
from app.events.models import Event
from app.webhooks import ordering
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.world import World


async def erase(tx: Transaction, user_id: UUID) -> None:
    """A step. By the whole key, which is the only index there is."""
    theirs = (
        WebhookDelivery.endpoint_id.in_(select(WebhookEndpoint.id)),
        WebhookDelivery.event_id.in_(select(Event.id).where(Event.user_id == user_id)),
    )
    said = or_(WebhookDelivery.last_excerpt.is_not(None), WebhookDelivery.claimed_until.is_not(None))
    await ordering.held(tx, *theirs, said)
    # Whoever is being asked just now loses the claim, and its answer with it: it is sent again, as it is told from now on.
    await tx.execute(update(WebhookDelivery).where(*theirs, said).values(last_excerpt=None, claimed_until=None))


async def prune_deliveries(world: World) -> int:
    """Delete a batch of those that were settled `WEBHOOK_RETENTION` ago, and of those that nobody was to be told of for as long, for their
    endpoint was disabled or deleted; how many."""
    limit = world.clock.now() - world.settings.webhook_retention
    listening = or_(WebhookEndpoint.disabled_at.is_(None), WebhookEndpoint.disabled_at > limit)
    left = and_(ordering.PENDING, WebhookDelivery.endpoint_id.not_in(select(WebhookEndpoint.id).where(listening)))
    settled = await prune(world.db, WebhookDelivery, WebhookDelivery.settled_at <= limit)
    return settled or await prune(world.db, WebhookDelivery, left)


def has_pending_delivery() -> ColumnElement[bool]:
    """Of an event: whether some webhook is still to be told of it. By the whole key, which is the only index there is."""
    named = (WebhookDelivery.endpoint_id == WebhookEndpoint.id, WebhookDelivery.event_id == Event.id)
    return exists().where(*named, ordering.PENDING)
