"""Reading all that the judgement looks at: one prepared statement of columns, whichever way the license is named."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import String, Uuid, and_, bindparam, exists, func, or_, select
from sqlalchemy.orm import aliased

from app.catalog.models import Policy, Product
from app.db.database import Session
from app.db.types import AnyRow, AnySelect, UtcDateTime
from app.licenses.models import Activation, License, LicenseUser
from app.licenses.rules import Seat, Standing

_NOW = bindparam("now", type_=UtcDateTime)
_USER = bindparam("user_id", type_=Uuid)
_FINGERPRINT = bindparam("fingerprint", type_=String)
_LICENSE = bindparam("license_id", type_=Uuid)
_PRODUCT = bindparam("product", type_=String)

_counted = aliased(Activation)
_seats_used = (
    select(func.count())
    .select_from(_counted)
    .where(
        _counted.license_id == License.id,
        _counted.released_at.is_(None),
        or_(_counted.lease_expires_at.is_(None), _counted.lease_expires_at > _NOW),
    )
    .correlate(License)
    .scalar_subquery()
)


def _standings(seat: Any, user: Any) -> AnySelect:
    """`seat` tells which activation, `user` whose assignment is looked at."""
    assigned = exists(select(LicenseUser.user_id).where(LicenseUser.license_id == License.id, LicenseUser.user_id == user))
    return (
        select(
            License.id,
            License.key_last4,
            License.starts_at,
            License.expires_at,
            License.grace_until,
            License.suspended_at,
            License.revoked_at,
            Product.code.label("product"),
            Product.requires.label("product_requires"),
            Policy.requires.label("policy_requires"),
            Policy.seat_by,
            Policy.max_seats,
            Policy.lease,
            Policy.max_users,
            Policy.features,
            Policy.self_service,
            Activation.id.label("seat_id"),
            Activation.fingerprint,
            Activation.activation_code_id,
            Activation.lease_expires_at,
            Activation.released_at,
            _seats_used.label("seats_used"),
            assigned.label("assigned"),
        )
        .select_from(License)
        .join(Policy, Policy.id == License.policy_id)
        .join(Product, Product.id == Policy.product_id)
        .outerjoin(Activation, and_(Activation.license_id == License.id, seat))
    )


_of_device = _standings(and_(Activation.fingerprint == _FINGERPRINT, Activation.user_key == ""), _USER)
BY_KEY = _of_device.where(License.key_hash == bindparam("key_hash"), Product.code == _PRODUCT)
BY_LICENSE = _of_device.where(License.id == _LICENSE)
BY_LICENSES = _of_device.where(License.id.in_(bindparam("license_ids", expanding=True, type_=Uuid)))
BY_USER = (
    _of_device.where(License.id.in_(select(LicenseUser.license_id).where(LicenseUser.user_id == _USER)), Product.code == _PRODUCT)
    .order_by(License.id.desc())
    .limit(200)
)
BY_SEAT = _standings(Activation.id == bindparam("seat_id", type_=Uuid), Activation.user_id).where(License.id == _LICENSE)


def facts(now: datetime, *, fingerprint: str | None = None, user_id: UUID | None = None, **more: Any) -> Mapping[str, Any]:
    """The parameters of the statements above."""
    return {"now": now, "fingerprint": fingerprint, "user_id": user_id, **more}


def read(row: AnyRow) -> Standing:
    seat = None
    if row.seat_id is not None:
        seat = Seat(row.seat_id, row.fingerprint, row.lease_expires_at, row.released_at, row.activation_code_id)
    return Standing(
        license_id=row.id,
        product=row.product,
        starts_at=row.starts_at,
        expires_at=row.expires_at,
        grace_until=row.grace_until,
        suspended_at=row.suspended_at,
        revoked_at=row.revoked_at,
        seat_by=row.seat_by,
        max_seats=row.max_seats,
        lease=row.lease,
        max_users=row.max_users,
        features=row.features,
        requires=(*row.product_requires, *row.policy_requires),
        self_service=row.self_service,
        seats_used=row.seats_used,
        assigned=row.assigned,
        seat=seat,
        key_last4=row.key_last4,
    )


async def standing(session: Session, statement: AnySelect, parameters: Mapping[str, Any]) -> Standing | None:
    """The one license that the statement names, or None."""
    row = (await session.execute(statement, parameters)).one_or_none()
    return read(row) if row is not None else None


async def of_user(session: Session, product: str, user_id: UUID, fingerprint: str | None, now: datetime) -> list[Standing]:
    """Every license of the product that is assigned to the user."""
    rows = await session.execute(BY_USER, facts(now, fingerprint=fingerprint, user_id=user_id, product=product))
    return [read(row) for row in rows]
