"""What an end user logs in with, and where they did, as the export tells it: no hash, no secret, no token."""

from sqlalchemy import select

from app.db.export_pages import WHOSE, Section
from app.login.device_grant.models import DeviceCode, DeviceCodeStatus
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
_LET_IN = (DeviceCodeStatus.APPROVED, DeviceCodeStatus.CONSUMED)
"""Of what was only opened, or denied, nobody knows that it was the end user's."""
_device_codes = select(
    DeviceCode.id,
    DeviceCode.status,
    DeviceCode.ip,
    DeviceCode.user_agent,
    DeviceCode.product,
    DeviceCode.device,
    DeviceCode.claimed_session_id.label("session_id"),
    DeviceCode.created_at,
    DeviceCode.expires_at,
    DeviceCode.decided_at,
)
SECTIONS = (
    Section("factors", _factors.where(Factor.user_id == WHOSE), Factor.id),
    Section("sessions", _sessions.where(SessionRow.user_id == WHOSE), SessionRow.id),
    Section("device_codes", _device_codes.where(DeviceCode.user_id == WHOSE, DeviceCode.status.in_(_LET_IN)), DeviceCode.id),
)
