"""Forgetting what receivers answered about an end user: they may have repeated what they were sent. That they were told stays."""

from uuid import UUID

from sqlalchemy import select, update

from app.db.database import Session
from app.events.models import Event
from app.webhooks.models import WebhookDelivery, WebhookEndpoint


async def erase(session: Session, user_id: UUID) -> None:
    """A step. By the whole key, which is the only index there is."""
    theirs = (
        WebhookDelivery.endpoint_id.in_(select(WebhookEndpoint.id)),
        WebhookDelivery.event_id.in_(select(Event.id).where(Event.user_id == user_id)),
    )
    await session.execute(update(WebhookDelivery).where(*theirs, WebhookDelivery.last_excerpt.is_not(None)).values(last_excerpt=None))
