"""The order of deliveries: those of one endpoint and one ordering key are delivered one after the other, and only the first is due.

`subject_id` is the ordering key. The state `pending` is written into the statements as a literal: with a parameter, the database would
not use its partial indexes on pending rows.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, literal_column, select, update
from sqlalchemy.orm import aliased

from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.models import Event
from app.webhooks.models import DeliveryState, WebhookDelivery
from app.webhooks.rules import NOT_FIRST

_PENDING_LITERAL: ColumnElement[str] = literal_column(f"'{DeliveryState.PENDING}'")
_other = aliased(WebhookDelivery)

IS_PENDING: ColumnElement[bool] = WebhookDelivery.state == _PENDING_LITERAL
ORDERING_KEY = case((Event.subject_type == "agreement", func.coalesce(Event.user_id, Event.subject_id)), else_=Event.subject_id)
"""The ordering key of an event, as the trigger computes it (migration 0013): its subject, but for an agreement the end user, so that
one user's acceptance does not hold up another's."""


def _select_first(endpoint_id: Any, ordering_key: Any) -> Any:
    same_key = (_other.endpoint_id == endpoint_id, _other.subject_id == ordering_key, _other.state == _PENDING_LITERAL)
    return select(_other.event_id).where(*same_key).order_by(_other.event_id).limit(1).scalar_subquery()


IS_FIRST: ColumnElement[bool] = WebhookDelivery.event_id == _select_first(WebhookDelivery.endpoint_id, WebhookDelivery.subject_id)
"""Whether a pending delivery is the first of its ordering key."""


async def release_next(tx: Transaction, row: AnyRow, now: datetime) -> None:
    """Make the next delivery with the row's ordering key due, after the row is no longer pending. A step."""
    is_next = (WebhookDelivery.endpoint_id == row.endpoint_id, WebhookDelivery.event_id == _select_first(row.endpoint_id, row.subject_id))
    await tx.execute(update(WebhookDelivery).where(*is_next).values(due_at=now))


async def release_first(tx: Transaction, endpoint_id: UUID, now: datetime) -> None:
    """Make the first delivery of every ordering key of the endpoint due, after deliveries were added or reset. A step."""
    waiting = (WebhookDelivery.endpoint_id == endpoint_id, IS_PENDING, WebhookDelivery.due_at == NOT_FIRST)
    await tx.execute(update(WebhookDelivery).where(*waiting, IS_FIRST).values(due_at=now))


async def lock_deliveries(tx: Transaction, *conditions: ColumnElement[bool]) -> None:
    """Lock the matching deliveries in the order of their events. Every transaction that changes several must do so (deadlocks). A step."""
    rows = select(WebhookDelivery.event_id).where(and_(*conditions)).order_by(WebhookDelivery.event_id).with_for_update()
    await tx.execute(
        select(func.count()).select_from(rows.subquery())
    )  # counts, because callers do not need the rows, and there may be thousands


def reset_values() -> dict[str, Any]:
    """Return the column values of a delivery to be sent again when it is the first. They make a current claim void."""
    return {"state": DeliveryState.PENDING, "tries": 0, "due_at": NOT_FIRST, "settled_at": None, "claimed_until": None}
