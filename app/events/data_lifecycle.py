"""The history of an end user, as the export tells it: who of the staff did something is their affair, that they did is not."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, not_, select

from app.db.export_pages import EXPORTED_USER, ExportSection
from app.db.pruning import prune, reference_conditions
from app.events.models import Event
from app.world import World

_history = select(Event.id, Event.at, Event.type, Event.actor_type, Event.subject_type, Event.subject_id, Event.data)
SECTIONS = (ExportSection("events", _history.where(Event.user_id == EXPORTED_USER), Event.id),)


OF_LOGINS = (
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
OF_USE = ("activation.released", "activation.taken", "mail.failed", "offline_file.issued")


async def delete_login_events(world: World, *kept: ColumnElement[bool]) -> int:
    """Delete a batch of who came in, and who did not, longer than `LOGIN_RETENTION` ago, but for what is `kept`; how many."""
    return await _pruned(world, OF_LOGINS, world.settings.login_retention, kept)


async def delete_usage_events(world: World, *kept: ColumnElement[bool]) -> int:
    """Delete a batch of what devices and letters did longer than `EVENT_RETENTION` ago, but for what is `kept`; how many."""
    return await _pruned(world, OF_USE, world.settings.event_retention, kept)


async def _pruned(world: World, types: tuple[str, ...], retention: timedelta, kept: Sequence[ColumnElement[bool]]) -> int:
    old = (Event.type.in_(types), Event.at <= world.clock.now() - retention)
    return await prune(world.db, Event, *old, *(not_(wanted) for wanted in (*reference_conditions(Event), *kept)))
