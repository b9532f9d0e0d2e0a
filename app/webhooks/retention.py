"""Which deliveries go after a time, and which events they keep."""

from sqlalchemy import ColumnElement, and_, exists, or_

from app.db.pruning import prune
from app.events.models import Event
from app.webhooks.models import State, WebhookDelivery, WebhookEndpoint
from app.world import World


async def deliveries(world: World) -> int:
    """Delete a batch of those that were settled `WEBHOOK_RETENTION` ago, and of those that were due as long ago and nobody enabled their
    endpoint; how many."""
    limit = world.clock.now() - world.settings.webhook_retention
    left = and_(WebhookDelivery.state == State.PENDING, WebhookDelivery.due_at <= limit)
    return await prune(world.db, WebhookDelivery, or_(WebhookDelivery.settled_at <= limit, left))


def waited_for() -> ColumnElement[bool]:
    """Of an event: whether some webhook is still to be told of it. By the whole key, which is the only index there is."""
    named = (WebhookDelivery.endpoint_id == WebhookEndpoint.id, WebhookDelivery.event_id == Event.id)
    return exists().where(*named, WebhookDelivery.state == State.PENDING)
