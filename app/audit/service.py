"""The audit list: all events, newest first, filtered by actor, subject, type and time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select

from app.audit.problems import EventNotFound
from app.db.base import table
from app.db.types import AnyRow
from app.events.kinds import EVERY
from app.events.models import Event
from app.web.paging import PageWindow, read_page
from app.world import World

_events = select(*table(Event).columns)


@dataclass(frozen=True)
class Filters:
    """Conditions on the listed events; None means any value. `since <= at < until`; `type` may be `noun.*`."""

    type: str | None = None
    user: UUID | None = None
    subject_type: str | None = None
    subject: UUID | None = None
    actor_type: str | None = None
    actor: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        equal = (
            (Event.user_id, self.user),
            (Event.subject_type, self.subject_type),
            (Event.subject_id, self.subject),
            (Event.actor_type, self.actor_type),
            (Event.actor_id, self.actor),
        )
        for column, value in equal:
            if value is not None:
                yield column == value
        if self.type is not None:
            yield Event.type.startswith(self.type[:-1], autoescape=True) if self.type.endswith(EVERY) else Event.type == self.type
        if self.since is not None:
            yield Event.at >= self.since
        if self.until is not None:
            yield Event.at < self.until


async def list_events(world: World, filters: Filters, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.query() as tx:
        return await read_page(tx, _events.where(*filters.conditions()), Event.id, window)


async def get_event(world: World, event_id: UUID) -> AnyRow:
    """Return one event. Raises EventNotFound."""
    async with world.db.query() as tx:
        row = (await tx.execute(_events.where(Event.id == event_id))).one_or_none()
    if row is None:
        raise EventNotFound
    return row
