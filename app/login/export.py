"""What an end user logs in with, and where they did, as the export tells it: no hash, no secret, no token."""

from sqlalchemy import select

from app.db.sections import WHOSE, Section
from app.login.models import Factor, SessionRow

_factors = select(
    Factor.id, Factor.kind, Factor.state, Factor.name, Factor.created_at, Factor.confirmed_at, Factor.used_at, Factor.expires_at
)
_sessions = select(
    SessionRow.id,
    SessionRow.amr,
    SessionRow.ip,
    SessionRow.user_agent,
    SessionRow.product,
    SessionRow.device,
    SessionRow.created_at,
    SessionRow.last_seen_at,
    SessionRow.expires_at,
    SessionRow.revoked_at,
    SessionRow.revoked_reason,
)
SECTIONS = (
    Section("factors", _factors.where(Factor.user_id == WHOSE), Factor.id),
    Section("sessions", _sessions.where(SessionRow.user_id == WHOSE), SessionRow.id),
)
