"""Reading all that the judgement looks at: one prepared statement of columns, whichever way the license is named."""

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
from app.users.models import Status, User

_NOW = bindparam("now", type_=UtcDateTime)
_USER = bindparam("user_id", type_=Uuid)
_USER_KEY = bindparam("user_key", type_=String)
_FINGERPRINT = bindparam("fingerprint", type_=String)
_LICENSE = bindparam("license_id", type_=Uuid)
_PRODUCT = bindparam("product", type_=String)

_counted = aliased(Activation)
_process = aliased(Activation)


def _seats_used(user_key: Any) -> Any:
    """How many live seats there are; where every user has seats of their own, those of this user (all of them for NULL)."""
    mine = or_(Policy.seat_by != SeatBy.DEVICE_PER_USER, user_key.is_(None), _counted.user_key == user_key)
    live = or_(_counted.lease_expires_at.is_(None), _counted.lease_expires_at > _NOW)
    counting = select(func.count()).select_from(_counted)
    return counting.where(_counted.license_id == License.id, _counted.released_at.is_(None), live, mine).correlate(
        License, Policy, Activation
    )


def _standings(seat: Any, user: Any, user_key: Any) -> AnySelect:
    """`seat` tells which activation, `user` whose assignment is looked at, `user_key` whose seats are counted."""
    assigned = exists(select(LicenseUser.user_id).where(LicenseUser.license_id == License.id, LicenseUser.user_id == user))
    closed = exists(select(User.id).where(User.id == user, User.status != Status.ACTIVE))
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
            _seats_used(user_key).scalar_subquery().label("seats_used"),
            assigned.label("assigned"),
            closed.label("user_closed"),
        )
        .select_from(License)
        .join(Policy, Policy.id == License.policy_id)
        .join(Product, Product.id == Policy.product_id)
        .outerjoin(Activation, seat)
    )


# The seat is looked up by its id, which one of two subqueries tells: joined by what they look for instead, thousands of processes
# on one host would each be compared with all the others. Two cases instead of IN: the fast lane wants statements that are
# complete when they are compiled.
_key_of_user = case(*((Policy.seat_by == seat_by, _USER_KEY) for seat_by in sorted(SEATED_BY_USER)), else_="")
_its_own = (
    select(_process.id)
    .where(
        _process.license_id == License.id,
        _process.fingerprint == case((Policy.seat_by == SeatBy.USER, ""), else_=_FINGERPRINT),
        _process.user_key == _key_of_user,
    )
    .correlate(License, Policy)
    .scalar_subquery()
)
_newest_process = (
    select(_process.id)
    .where(_process.license_id == License.id, _process.released_at.is_(None), _process.fingerprint == _FINGERPRINT)
    .order_by(_process.lease_expires_at.desc())
    .limit(1)
    .correlate(License)
    .scalar_subquery()
)
_own_seat = Activation.id == case((Policy.seat_by == SeatBy.SESSION, _newest_process), else_=_its_own)
_of_device = _standings(_own_seat, _USER, _USER_KEY)
BY_KEY = _of_device.where(License.key_hash == bindparam("key_hash"), Product.code == _PRODUCT)
BY_LICENSE = _of_device.where(License.id == _LICENSE)
BY_LICENSES = _of_device.where(License.id.in_(bindparam("license_ids", expanding=True, type_=Uuid)))
BY_USER = (
    _of_device.where(License.id.in_(select(LicenseUser.license_id).where(LicenseUser.user_id == _USER)), Product.code == _PRODUCT)
    .order_by(License.id.desc())
    .limit(200)
)
BY_SEAT = _standings(Activation.id == bindparam("seat_id", type_=Uuid), Activation.user_id, Activation.user_key).where(
    License.id == _LICENSE
)


def parameters(now: datetime, *, fingerprint: str | None = None, user_id: UUID | None = None, **more: Any) -> Mapping[str, Any]:
    """The parameters of the statements above."""
    return {"now": now, "fingerprint": fingerprint, "user_id": user_id, "user_key": str(user_id) if user_id else None, **more}


def from_row(row: AnyRow) -> LicenseFacts:
    seat = None
    if row.seat_id is not None:
        seat = Seat(row.seat_id, row.fingerprint, row.lease_expires_at, row.released_at, row.activation_code_id)
    own = row.overrides
    return LicenseFacts(
        license_id=row.id,
        product=row.product,
        starts_at=row.starts_at,
        expires_at=row.expires_at,
        grace_until=row.grace_until,
        suspended_at=row.suspended_at,
        revoked_at=row.revoked_at,
        seat_by=row.seat_by,
        max_seats=own.get("max_seats", row.max_seats),
        lease=own.get("lease", row.lease),
        max_users=own.get("max_users", row.max_users),
        features=merged(row.features, own.get("features")),
        requires=(*row.product_requires, *row.policy_requires, *own.get("requires", ())),
        self_service=own.get("self_service", row.self_service),
        seats_used=row.seats_used,
        assigned=row.assigned,
        seat=seat,
        key_last4=row.key_last4,
        extra_seats=own.get("extra_seats", row.extra_seats),
        trial=row.trial,
        duration=row.duration,
        grace=row.grace,
        offline_ttl=own.get("offline_ttl", row.offline_ttl),
        meters=_metered(row.meters, own.get("meters")),
        policy_id=row.policy_id,
        user_closed=row.user_closed,
    )


def merged(policys: Mapping[str, Any], own: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The policy's entries with the license's own over them; null takes one away."""
    if not own:
        return policys
    return {name: value for name, value in {**policys, **own}.items() if value is not None}


def _metered(policys: Mapping[str, Any], own: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """As above; what the license does not say of a meter (its period, mostly) is as the policy says."""
    if not own:
        return policys
    return merged(policys, {name: {"per": None, **policys.get(name, {}), **it} if it else None for name, it in own.items()})


async def read_one(tx: Transaction, statement: AnySelect, parameters: Mapping[str, Any]) -> LicenseFacts | None:
    """The one license that the statement names, or None."""
    row = (await tx.execute(statement, parameters)).one_or_none()
    return from_row(row) if row is not None else None
