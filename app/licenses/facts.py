"""Read all facts of a license in one prepared statement, by key, id, end user or seat."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import String, Uuid, bindparam, case, exists, func, or_, select
from sqlalchemy.orm import aliased

from app.catalog.models import Policy, Product, SeatBy
from app.catalog.rules import SEATED_BY_USER
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect, UtcDateTime
from app.licenses.models import Activation, License, LicenseUser
from app.licenses.rules import LicenseFacts, Seat
from app.users.models import User, UserStatus

_NOW = bindparam("now", type_=UtcDateTime)
_USER = bindparam("user_id", type_=Uuid)
_USER_KEY = bindparam("user_key", type_=String)
_FINGERPRINT = bindparam("fingerprint", type_=String)
_LICENSE = bindparam("license_id", type_=Uuid)
_PRODUCT = bindparam("product", type_=String)

_counted_seat = aliased(Activation)
_seat = aliased(Activation)


def _count_live_seats(user_key: Any) -> Any:
    """Count the live seats; where the limit is per user, only the seats of this user (all seats if `user_key` is NULL)."""
    counts_for_user = or_(Policy.seat_by != SeatBy.DEVICE_PER_USER, user_key.is_(None), _counted_seat.user_key == user_key)
    is_unexpired = or_(_counted_seat.lease_expires_at.is_(None), _counted_seat.lease_expires_at > _NOW)
    count = select(func.count()).select_from(_counted_seat)
    conditions = (_counted_seat.license_id == License.id, _counted_seat.released_at.is_(None), is_unexpired, counts_for_user)
    return count.where(*conditions).correlate(License, Policy, Activation)


def _select_facts(seat: Any, user: Any, user_key: Any) -> AnySelect:
    """Build the statement: `seat` selects the activation, `user` the assignment, `user_key` the seats to count."""
    assigned = exists(select(LicenseUser.user_id).where(LicenseUser.license_id == License.id, LicenseUser.user_id == user))
    user_closed = exists(select(User.id).where(User.id == user, User.status != UserStatus.ACTIVE))
    return (
        select(
            License.id,
            License.policy_id,
            License.key_last4,
            License.duration,
            License.grace,
            License.starts_at,
            License.expires_at,
            License.grace_until,
            License.suspended_at,
            License.revoked_at,
            License.overrides,
            Product.code.label("product"),
            Product.requires.label("product_requires"),
            Policy.requires.label("policy_requires"),
            Policy.seat_by,
            Policy.max_seats,
            Policy.extra_seats,
            Policy.lease,
            Policy.max_users,
            Policy.features,
            Policy.meters,
            Policy.self_service,
            Policy.trial,
            Policy.offline_ttl,
            Activation.id.label("seat_id"),
            Activation.fingerprint,
            Activation.activation_code_id,
            Activation.lease_expires_at,
            Activation.released_at,
            _count_live_seats(user_key).scalar_subquery().label("seats_used"),
            assigned.label("assigned"),
            user_closed.label("user_closed"),
        )
        .select_from(License)
        .join(Policy, Policy.id == License.policy_id)
        .join(Product, Product.id == Policy.product_id)
        .outerjoin(Activation, seat)
    )


# One of two subqueries finds the seat's id, and the seat is joined by it. A join by the searched columns would compare each of thousands
# of processes on one host with all others. CASE instead of IN: fast reads need statements that are complete when compiled.
_seat_user_key = case(*((Policy.seat_by == seat_by, _USER_KEY) for seat_by in sorted(SEATED_BY_USER)), else_="")
_seat_of_device = (
    select(_seat.id)
    .where(
        _seat.license_id == License.id,
        _seat.fingerprint == case((Policy.seat_by == SeatBy.USER, ""), else_=_FINGERPRINT),
        _seat.user_key == _seat_user_key,
    )
    .correlate(License, Policy)
    .scalar_subquery()
)
_newest_session_seat = (
    select(_seat.id)
    .where(_seat.license_id == License.id, _seat.released_at.is_(None), _seat.fingerprint == _FINGERPRINT)
    .order_by(_seat.lease_expires_at.desc())
    .limit(1)
    .correlate(License)
    .scalar_subquery()
)
_is_own_seat = Activation.id == case((Policy.seat_by == SeatBy.SESSION, _newest_session_seat), else_=_seat_of_device)
_facts = _select_facts(_is_own_seat, _USER, _USER_KEY)
BY_KEY = _facts.where(License.key_hash == bindparam("key_hash"), Product.code == _PRODUCT)
BY_LICENSE = _facts.where(License.id == _LICENSE)
BY_LICENSES = _facts.where(License.id.in_(bindparam("license_ids", expanding=True, type_=Uuid)))
BY_USER = (
    _facts.where(License.id.in_(select(LicenseUser.license_id).where(LicenseUser.user_id == _USER)), Product.code == _PRODUCT)
    .order_by(License.id.desc())
    .limit(200)
)
_seat_by_id = Activation.id == bindparam("seat_id", type_=Uuid)
BY_SEAT = _select_facts(_seat_by_id, Activation.user_id, Activation.user_key).where(License.id == _LICENSE)


def build_parameters(now: datetime, *, fingerprint: str | None = None, user_id: UUID | None = None, **more: Any) -> Mapping[str, Any]:
    """Build the parameters of the statements above; `more`: parameters of a single statement."""
    return {"now": now, "fingerprint": fingerprint, "user_id": user_id, "user_key": str(user_id) if user_id else None, **more}


def build_facts(row: AnyRow) -> LicenseFacts:
    """Build the facts from a row of one of the statements above."""
    seat = None
    if row.seat_id is not None:
        seat = Seat(row.seat_id, row.fingerprint, row.lease_expires_at, row.released_at, row.activation_code_id)
    overrides = row.overrides
    return LicenseFacts(
        license_id=row.id,
        product=row.product,
        starts_at=row.starts_at,
        expires_at=row.expires_at,
        grace_until=row.grace_until,
        suspended_at=row.suspended_at,
        revoked_at=row.revoked_at,
        seat_by=row.seat_by,
        max_seats=overrides.get("max_seats", row.max_seats),
        lease=overrides.get("lease", row.lease),
        max_users=overrides.get("max_users", row.max_users),
        features=apply_overrides(row.features, overrides.get("features")),
        requires=(*row.product_requires, *row.policy_requires, *overrides.get("requires", ())),
        self_service=overrides.get("self_service", row.self_service),
        seats_used=row.seats_used,
        assigned=row.assigned,
        seat=seat,
        key_last4=row.key_last4,
        extra_seats=overrides.get("extra_seats", row.extra_seats),
        trial=row.trial,
        duration=row.duration,
        grace=row.grace,
        offline_ttl=overrides.get("offline_ttl", row.offline_ttl),
        meters=_apply_meter_overrides(row.meters, overrides.get("meters")),
        policy_id=row.policy_id,
        user_closed=row.user_closed,
    )


def apply_overrides(policy_values: Mapping[str, Any], overrides: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Merge the license's entries into those of the policy; null removes an entry."""
    if not overrides:
        return policy_values
    return {name: value for name, value in {**policy_values, **overrides}.items() if value is not None}


def _apply_meter_overrides(policy_meters: Mapping[str, Any], overrides: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Merge meters like `apply_overrides`; a field that the license's meter leaves out (mostly its period) keeps the policy's value."""
    if not overrides:
        return policy_meters
    meters = {name: {"per": None, **policy_meters.get(name, {}), **meter} if meter else None for name, meter in overrides.items()}
    return apply_overrides(policy_meters, meters)


async def read_facts(tx: Transaction, statement: AnySelect, parameters: Mapping[str, Any]) -> LicenseFacts | None:
    """Read the one license that the statement selects, or None."""
    row = (await tx.execute(statement, parameters)).one_or_none()
    return build_facts(row) if row is not None else None
