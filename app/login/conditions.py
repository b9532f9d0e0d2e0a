"""SQL conditions over `users`: which second factors an account has."""

from sqlalchemy import ColumnElement, and_, exists, or_, select

from app.login.models import Factor, FactorKind, FactorState
from app.users.models import User

LIVE_TOTP = and_(Factor.kind == FactorKind.TOTP, Factor.state == FactorState.ACTIVE)
LIVE_PASSKEY = and_(Factor.kind == FactorKind.PASSKEY, Factor.state == FactorState.ACTIVE)
SECOND_FACTOR = or_(LIVE_TOTP, and_(Factor.kind == FactorKind.PASSKEY, Factor.state != FactorState.REVOKED))
"""Includes suspect passkeys: they cannot be used to log in, but without them the account would need only a password."""


def _has_factor(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(Factor.id).where(Factor.user_id == User.id, condition)).correlate(User)


HAS_TOTP = _has_factor(LIVE_TOTP)
HAS_PASSKEY = _has_factor(LIVE_PASSKEY)
HAS_SECOND_FACTOR = _has_factor(SECOND_FACTOR)
