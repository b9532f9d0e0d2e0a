"""The lines that deliveries stand in: those of one endpoint and one subject go one after the other, and the first alone is due.

What is pending is told to the database in words, not as a parameter: only so does it use the indexes of what is pending.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, literal_column, select, update
from sqlalchemy.orm import aliased

from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.models import Event
from app.webhooks.models import State, WebhookDelivery
from app.webhooks.rules import BEHIND

_WORD: ColumnElement[str] = literal_column(f"'{State.PENDING}'")
_other = aliased(WebhookDelivery)

PENDING: ColumnElement[bool] = WebhookDelivery.state == _WORD
OF_EVENT = case((Event.subject_type == "agreement", func.coalesce(Event.user_id, Event.subject_id)), else_=Event.subject_id)
"""Whose line an event's deliveries stand in, as the trigger says it (migration 0013): one end user's acceptance holds up no other's."""


def _first(endpoint_id: Any, subject_id: Any) -> Any:
    line = (_other.endpoint_id == endpoint_id, _other.subject_id == subject_id, _other.state == _WORD)
    return select(_other.event_id).where(*line).order_by(_other.event_id).limit(1).scalar_subquery()


FIRST: ColumnElement[bool] = WebhookDelivery.event_id == _first(WebhookDelivery.endpoint_id, WebhookDelivery.subject_id)
"""Of a delivery that is pending: whether none of its line is before it."""


async def moved_up(tx: Transaction, row: AnyRow, now: datetime) -> None:
    """A step, after this one is pending no more: the next in its line is due."""
    first = (WebhookDelivery.endpoint_id == row.endpoint_id, WebhookDelivery.event_id == _first(row.endpoint_id, row.subject_id))
    await tx.execute(update(WebhookDelivery).where(*first).values(due_at=now))


async def led(tx: Transaction, endpoint_id: UUID, now: datetime) -> None:
    """A step, after deliveries were put into lines: whichever is first there is due."""
    behind = (WebhookDelivery.endpoint_id == endpoint_id, PENDING, WebhookDelivery.due_at == BEHIND)
    await tx.execute(update(WebhookDelivery).where(*behind, FIRST).values(due_at=now))


async def held(tx: Transaction, *which: ColumnElement[bool]) -> None:
    """A step: hold deliveries in the order of their events, as everybody does who changes several, so that two never wait in a circle."""
    rows = select(WebhookDelivery.event_id).where(and_(*which)).order_by(WebhookDelivery.event_id).with_for_update()
    await tx.execute(select(func.count()).select_from(rows.subquery()))  # there may be many thousand, and nobody reads them


def anew() -> dict[str, Any]:
    """What makes a delivery be made again, once it is its turn. A claim that is out is void."""
    return {"state": State.PENDING, "tries": 0, "due_at": BEHIND, "settled_at": None, "claimed_until": None}
