"""Finding licenses by what an operator knows of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select

from app.catalog.models import Customer, Product
from app.licenses.issuing.service import LICENSE_ROWS, LicenseDetails, load_details
from app.licenses.keys import last4_forms
from app.licenses.models import License, LicenseUser
from app.users.models import User
from app.web.paging import PageWindow, read_page
from app.world import World


def _status(status: str, now: datetime) -> ColumnElement[bool]:
    """The same order as the judgement's (licensing R18), as one condition of columns and the clock."""
    revoked, suspended = License.revoked_at.is_not(None), License.suspended_at.is_not(None)
    early = and_(License.starts_at.is_not(None), License.starts_at > now)
    ended = and_(License.expires_at.is_not(None), License.expires_at <= now)
    gone = and_(ended, func.coalesce(License.grace_until, License.expires_at) <= now)
    order = (("revoked", revoked), ("suspended", suspended), ("not_started", early), ("expired", gone), ("in_grace", ended))
    worse: list[ColumnElement[bool]] = []
    for name, holds in order:
        if name == status:
            return and_(holds, *worse)
        worse.append(~func.coalesce(holds, False))
    return and_(*worse)


def _text(wanted: str) -> ColumnElement[bool]:
    """Where the words occur: external id, customer's name or address, an assigned user's address or name; or the key's end."""

    def has(column: Any) -> ColumnElement[bool]:
        return func.lower(column).contains(wanted.lower(), autoescape=True)

    customers = select(Customer.id).where(or_(has(Customer.name), has(Customer.email), has(Customer.external_id)))
    users = select(LicenseUser.license_id).join(User, User.id == LicenseUser.user_id).where(or_(has(User.email), has(User.display_name)))
    end = License.key_last4.in_(last4_forms(wanted)) if len(wanted) == 4 else License.key_last4 == wanted.upper()
    return or_(has(License.external_id), License.customer_id.in_(customers), License.id.in_(users), end)


async def licenses(world: World, window: PageWindow, wanted: Mapping[str, Any]) -> tuple[list[LicenseDetails], str | None]:
    """Filters: `product` (code), `policy`, `customer`, `user`, `status`, `key_last4`, `external_id`, `expires_before`, `q`."""
    now = world.clock.now()
    filters = {
        "product": Product.code.__eq__,
        "policy": License.policy_id.__eq__,
        "customer": License.customer_id.__eq__,
        "user": lambda user: License.id.in_(_of(user)),
        "status": lambda status: _status(status, now),
        "key_last4": lambda last4: License.key_last4.in_(last4_forms(last4)),
        "external_id": License.external_id.__eq__,
        "expires_before": lambda moment: License.expires_at < moment,
        "q": _text,
    }
    statement = LICENSE_ROWS.where(*(filters[name](value) for name, value in wanted.items() if value is not None))
    async with world.db.read() as tx:
        rows, cursor = await read_page(tx, statement, License.id, window)
        return await load_details(tx, world, rows), cursor


def _of(user_id: UUID) -> Any:
    return select(LicenseUser.license_id).where(LicenseUser.user_id == user_id)
