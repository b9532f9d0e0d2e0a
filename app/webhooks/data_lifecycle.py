"""Forgetting what receivers answered about an end user: they may have repeated what they were sent. That they were told stays."""

from uuid import UUID

from sqlalchemy import or_, select, update

from app.db.database import Session
from app.events.models import Event
from app.webhooks import ordering
from app.webhooks.models import WebhookDelivery, WebhookEndpoint


async def erase(session: Session, user_id: UUID) -> None:
    """A step. By the whole key, which is the only index there is."""
    theirs = (
        WebhookDelivery.endpoint_id.in_(select(WebhookEndpoint.id)),
        WebhookDelivery.event_id.in_(select(Event.id).where(Event.user_id == user_id)),
    )
    said = or_(WebhookDelivery.last_excerpt.is_not(None), WebhookDelivery.claimed_until.is_not(None))
    await ordering.held(session, *theirs, said)
    # Whoever is being asked just now loses the claim, and its answer with it: it is sent again, as it is told from now on.
    await session.execute(update(WebhookDelivery).where(*theirs, said).values(last_excerpt=None, claimed_until=None))
