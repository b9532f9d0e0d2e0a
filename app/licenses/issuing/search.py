"""Search licenses for operators."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select

from app.catalog.models import Customer, Product
from app.licenses.issuing.details import LICENSES, LicenseDetails, load_details
from app.licenses.keys import list_last4_forms
from app.licenses.models import License, LicenseUser
from app.users.models import User
from app.web.paging import PageWindow, read_page
from app.world import World


def _has_status(status: str, now: datetime) -> ColumnElement[bool]:
    """Build the condition for a status, in the order of precedence of `LicenseFacts.status` (licensing R18)."""
    revoked, suspended = License.revoked_at.is_not(None), License.suspended_at.is_not(None)
    not_started = and_(License.starts_at.is_not(None), License.starts_at > now)
    expired = and_(License.expires_at.is_not(None), License.expires_at <= now)
    past_grace = and_(expired, func.coalesce(License.grace_until, License.expires_at) <= now)
    order = (
        ("revoked", revoked), ("suspended", suspended), ("not_started", not_started), ("expired", past_grace), ("in_grace", expired),
    )  # fmt: skip
    preceding: list[ColumnElement[bool]] = []
    for name, condition in order:
        if name == status:
            return and_(condition, *preceding)
        preceding.append(~func.coalesce(condition, False))
    return and_(*preceding)


def _contains_text(text: str) -> ColumnElement[bool]:
    """Search the external id, the customer, and the assigned users' addresses and names; match the end of the key exactly."""

    def contains(column: Any) -> ColumnElement[bool]:
        return func.lower(column).contains(text.lower(), autoescape=True)

    customers = select(Customer.id).where(or_(contains(Customer.name), contains(Customer.email), contains(Customer.external_id)))
    users = (
        select(LicenseUser.license_id)
        .join(User, User.id == LicenseUser.user_id)
        .where(or_(contains(User.email), contains(User.display_name)))
    )
    key_end = License.key_last4.in_(list_last4_forms(text)) if len(text) == 4 else License.key_last4 == text.upper()
    return or_(contains(License.external_id), License.customer_id.in_(customers), License.id.in_(users), key_end)


async def find_licenses(world: World, window: PageWindow, values: Mapping[str, Any]) -> tuple[list[LicenseDetails], str | None]:
    """List licenses, newest first.

    Filters: `product` (code), `policy`, `customer`, `user`, `status`, `key_last4`, `external_id`, `expires_before`, `q`.
    """
    now = world.clock.now()
    filters = {
        "product": Product.code.__eq__,
        "policy": License.policy_id.__eq__,
        "customer": License.customer_id.__eq__,
        "user": lambda user: License.id.in_(_select_licenses_of_user(user)),
        "status": lambda status: _has_status(status, now),
        "key_last4": lambda last4: License.key_last4.in_(list_last4_forms(last4)),
        "external_id": License.external_id.__eq__,
        "expires_before": lambda time: License.expires_at < time,
        "q": _contains_text,
    }
    statement = LICENSES.where(*(filters[name](value) for name, value in values.items() if value is not None))
    async with world.db.read() as tx:
        rows, cursor = await read_page(tx, statement, License.id, window)
        return await load_details(tx, world, rows), cursor


def _select_licenses_of_user(user_id: UUID) -> Any:
    return select(LicenseUser.license_id).where(LicenseUser.user_id == user_id)
