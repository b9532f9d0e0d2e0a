"""The append-only table of events."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from app.db.base import Base
from app.db.types import Identifier, Instant, JsonMap, Line, Reference, Word


class Event(Base):
    """An event. `type`: `noun.past_tense`. `subject`: the object that changed. `user_id`: the end user whose history contains it."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_subject", "subject_type", "subject_id"),
        Index("ix_events_user_id", "user_id", "id"),
        Index("ix_events_type", "type", "id"),
        Index("ix_events_type_at", "type", "at"),
        Index("ix_events_at", "at"),
    )

    id: Mapped[Identifier]
    at: Mapped[Instant]
    type: Mapped[Line]
    actor_type: Mapped[Word]
    actor_id: Mapped[Reference | None]
    subject_type: Mapped[Word]
    subject_id: Mapped[Reference]
    user_id: Mapped[Reference | None]
    request_id: Mapped[Line | None]
    data: Mapped[JsonMap]
