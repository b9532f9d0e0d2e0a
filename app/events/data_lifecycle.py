"""Export and retention of events. A user's export shows that an operator acted, but not which operator."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, not_, select

from app.db.export_pages import EXPORTED_USER, ExportSection
from app.db.pruning import prune, reference_conditions
from app.events.models import Event
from app.world import World

_history = select(Event.id, Event.at, Event.type, Event.actor_type, Event.subject_type, Event.subject_id, Event.data)
SECTIONS = (ExportSection("events", _history.where(Event.user_id == EXPORTED_USER), Event.id),)

LOGIN_EVENTS = (
    "device.authorization_approved",
    "device.authorization_denied",
    "device.authorization_requested",
    "login.failed",
    "login_code.mailed",
    "login_code.used",
    "recovery_code.used",
    "session.opened",
    "session.revoked",
    "session.stepped_up",
    "session.token_reused",
    "sessions.revoked",
)
USAGE_EVENTS = ("activation.released", "activation.taken", "mail.failed", "offline_file.issued")


async def prune_login_events(world: World, *keep: ColumnElement[bool]) -> int:
    """Delete a batch of login events older than `LOGIN_RETENTION`, except those that match `keep`. Returns how many."""
    return await _prune(world, LOGIN_EVENTS, world.settings.login_retention, keep)


async def prune_usage_events(world: World, *keep: ColumnElement[bool]) -> int:
    """Delete a batch of events about devices and mail older than `EVENT_RETENTION`, except those that match `keep`. Returns how many."""
    return await _prune(world, USAGE_EVENTS, world.settings.event_retention, keep)


async def _prune(world: World, types: tuple[str, ...], retention: timedelta, keep: Sequence[ColumnElement[bool]]) -> int:
    old = (Event.type.in_(types), Event.at <= world.clock.now() - retention)
    return await prune(world.db, Event, *old, *(not_(condition) for condition in (*reference_conditions(Event), *keep)))
