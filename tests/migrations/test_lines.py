"""Migration 0013 puts pending deliveries into queues, and its downgrade restores them."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, insert, select

from app.db import revision
from app.db.base import table
from app.events.models import Event
from app.webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint
from app.webhooks.rules import NOT_FIRST
from tests.migrations import trees

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
ENDPOINT, LICENSE, AGREEMENT, OLA, KARI = (UUID(int=n) for n in range(101, 106))
EVENTS = [  # (subject's type, subject, end user)
    ("license", LICENSE, None),
    ("agreement", AGREEMENT, OLA),
    ("agreement", AGREEMENT, KARI),
    ("license", LICENSE, OLA),
    ("agreement", AGREEMENT, None),
    ("agreement", AGREEMENT, OLA),
]


def insert_pending(connection: Connection) -> None:
    """Insert deliveries as earlier releases stored them: each due, in the queue of its subject."""
    endpoint = {"id": ENDPOINT, "slot": 1, "url": "https://hooks.example", "types": [], "secret_sealed": "x", "created_at": AT}
    connection.execute(insert(table(WebhookEndpoint)).values(endpoint))
    for number, (kind, subject, user) in enumerate(EVENTS):
        event = {"id": UUID(int=number), "at": AT, "type": "x.y", "actor_type": "system", "subject_type": kind, "subject_id": subject}
        connection.execute(insert(table(Event)).values(event | {"user_id": user, "data": {}}))
        delivery = {"endpoint_id": ENDPOINT, "event_id": UUID(int=number), "subject_id": subject, "state": DeliveryState.PENDING}
        connection.execute(insert(table(WebhookDelivery)).values(delivery | {"attempts": 0, "tries": 0, "created_at": AT, "due_at": AT}))


def read_queues(connection: Connection) -> list[tuple[UUID, bool]]:
    """Return for each delivery, in order, the subject of its queue and whether it is due."""
    rows = connection.execute(select(WebhookDelivery.subject_id, WebhookDelivery.due_at).order_by(WebhookDelivery.event_id))
    return [(row.subject_id, row.due_at < NOT_FIRST) for row in rows]


async def test_pending_deliveries_are_queued_and_restored(empty: str) -> None:
    config = revision.alembic_config(empty)
    await trees.up(config, "0012")
    await trees.query(empty, insert_pending, commit=True)
    await trees.up(config, "0013")
    queues = [(LICENSE, True), (OLA, True), (KARI, True), (LICENSE, False), (AGREEMENT, True), (OLA, False)]
    assert await trees.query(empty, read_queues) == queues
    await trees.down(config, "0012")
    assert [due for _, due in await trees.query(empty, read_queues)] == [True] * len(EVENTS)
