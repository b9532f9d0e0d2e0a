"""Erase an end user: everything that identifies the person is removed; the id and its history stay (agreements R25)."""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update

from app.db.base import table
from app.db.database import Transaction
from app.db.export_pages import EXPORTED_USER
from app.db.types import AnyRow
from app.users.models import AgeBand, User, UserStatus
from app.users.problems import UserNotFound

PLACEHOLDER = "erased.invalid"
"""A domain that can never exist (RFC 6761 section 6.4): it receives no mail, and no address in it can be registered."""

_columns = select(*table(User).columns)
_lock_statement = (
    select(User.id)
    .where(User.id == bindparam("the_id"), User.status != UserStatus.ERASED)
    .with_for_update(read=True, key_share=True)  # PostgreSQL: blocks only changes of a key column, such as `erase_user` makes
)


async def lock_unless_erased(tx: Transaction, user_id: UUID) -> bool:
    """Lock the user's row against erasure until the transaction ends; False if the user is already erased.

    Call it before adding rows that an erasure removes. Lock the license or the ledger first, in the order in which an erasure locks them.
    """
    return (await tx.execute(_lock_statement, {"the_id": user_id})).one_or_none() is not None


async def lock_user(tx: Transaction, user_id: UUID) -> AnyRow:
    """Lock and return the user's row. Raises UserNotFound."""
    row = (await tx.execute(_columns.where(User.id == user_id).with_for_update())).one_or_none()
    if row is None:
        raise UserNotFound
    return row


async def erase_user(tx: Transaction, user_id: UUID) -> bool:
    """Clear the profile and free its address; False if the user is already erased. The caller ends sessions and releases seats."""
    address = f"{user_id}@{PLACEHOLDER}"
    values: dict[str, Any] = {
        "email": address,
        "email_folded": address,
        "email_verified_at": None,
        "display_name": None,
        "locale": None,
        "region": None,
        "timezone": None,
        "age_band": AgeBand.UNKNOWN,
        "preferences": {},
        "external_id": None,
        "handle": None,
        "metadata": {},
        "status": UserStatus.ERASED,
        "last_login_at": None,
    }
    erasure = update(table(User)).where(User.id == user_id, User.status != UserStatus.ERASED).values(values)
    return (await tx.execute(erasure)).rowcount == 1


PROFILE = select(
    User.id,
    User.email,
    User.email_verified_at,
    User.display_name,
    User.locale,
    User.region,
    User.timezone,
    User.age_band,
    User.preferences,
    User.external_id,
    User.metadata_.label("metadata"),
    User.status,
    User.created_at,
    User.last_login_at,
).where(User.id == EXPORTED_USER)
