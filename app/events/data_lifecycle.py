"""The history of an end user, as the export tells it: who of the staff did something is their affair, that they did is not."""

from sqlalchemy import select

from app.db.export_pages import WHOSE, Section
from app.events.models import Event

_history = select(Event.id, Event.at, Event.type, Event.actor_type, Event.subject_type, Event.subject_id, Event.data)
SECTIONS = (Section("events", _history.where(Event.user_id == WHOSE), Event.id),)
