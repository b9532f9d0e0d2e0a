"""Tables of webhook endpoints and deliveries."""

from enum import StrEnum

from sqlalchemy import Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Identifier, Instant, JsonList, Line, Reference, Word


class DeliveryState(StrEnum):
    """`pending`: not delivered yet, tried or not. `failed`: given up, unless an operator replays it."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


_PENDING = text(f"state = '{DeliveryState.PENDING}'")


class WebhookEndpoint(Base):
    """A webhook. `types`: event types, `noun.*` or `*`. `slot`: a unique number from 1 to the limit, which enforces the limit.

    `failing_since`: the first failure since the last success. `resume_at`: the end of the pause that the receiver requested.
    """

    __tablename__ = "webhook_endpoints"

    id: Mapped[Identifier]
    slot: Mapped[int] = mapped_column(SmallInteger, unique=True)
    url: Mapped[str] = mapped_column(String(2048))
    types: Mapped[JsonList]
    description: Mapped[Line | None]
    secret_sealed: Mapped[str] = mapped_column(Text)
    previous_secret_sealed: Mapped[str | None] = mapped_column(Text)
    previous_until: Mapped[Instant | None]
    created_at: Mapped[Instant]
    disabled_at: Mapped[Instant | None]
    disabled_reason: Mapped[Word | None]
    failing_since: Mapped[Instant | None]
    resume_at: Mapped[Instant | None]


class WebhookDelivery(Base):
    """The delivery of one event to one endpoint. It holds no copy of the event.

    `subject_id` is the ordering key: the event's subject, or for an agreement's event the end user. Deliveries with one key are made in
    order: only the first is due, the others have `rules.NOT_FIRST`. `attempts` counts the claims; only the process that claimed last may
    record an outcome. `tries` counts the claims since the delivery was created or replayed. There are no foreign keys, so that
    recording an event never waits for an operator who changes or deletes an endpoint.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_due", "endpoint_id", "due_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
        Index("ix_webhook_deliveries_line", "endpoint_id", "subject_id", "event_id", sqlite_where=_PENDING, postgresql_where=_PENDING),
        Index("ix_webhook_deliveries_settled_at", "settled_at"),
    )

    endpoint_id: Mapped[Reference] = mapped_column(primary_key=True)
    event_id: Mapped[Reference] = mapped_column(primary_key=True)
    subject_id: Mapped[Reference]
    state: Mapped[Word]
    attempts: Mapped[int]
    tries: Mapped[int]
    created_at: Mapped[Instant]
    due_at: Mapped[Instant]
    claimed_until: Mapped[Instant | None]
    settled_at: Mapped[Instant | None]
    last_at: Mapped[Instant | None]
    last_status: Mapped[int | None] = mapped_column(SmallInteger)
    last_ms: Mapped[int | None]
    last_error: Mapped[Word | None]
    last_excerpt: Mapped[Line | None]
