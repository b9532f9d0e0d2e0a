"""What a user can log in with beside the password, as conditions of a statement over `users`."""

from sqlalchemy import ColumnElement, and_, exists, or_, select

from app.login.models import Factor, FactorKind, FactorState
from app.users.models import User

LIVE_TOTP = and_(Factor.kind == FactorKind.TOTP, Factor.state == FactorState.ACTIVE)
LIVE_PASSKEY = and_(Factor.kind == FactorKind.PASSKEY, Factor.state == FactorState.ACTIVE)
SECOND_FACTOR = or_(LIVE_TOTP, and_(Factor.kind == FactorKind.PASSKEY, Factor.state != FactorState.REVOKED))
"""A passkey that is suspect opens nothing; but a password alone must not be enough because somebody copied one."""


def _has(which: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(Factor.id).where(Factor.user_id == User.id, which)).correlate(User)


HAS_TOTP = _has(LIVE_TOTP)
HAS_PASSKEY = _has(LIVE_PASSKEY)
HAS_SECOND_FACTOR = _has(SECOND_FACTOR)
