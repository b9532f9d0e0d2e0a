"""Forgetting who an end user was: what names a person goes, the id and its history stay (agreements R25)."""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update

from app.db.base import table
from app.db.database import Transaction
from app.db.export_pages import EXPORTED_USER
from app.db.types import AnyRow
from app.users.models import AgeBand, Status, User
from app.users.problems import UserNotFound

PLACEHOLDER = "erased.invalid"
"""A domain that never is one (RFC 6761 section 6.4): no mail goes there, and nobody registers an address of it."""

_columns = select(*table(User).columns)
_there = (
    select(User.id)
    .where(User.id == bindparam("the_id"), User.status != Status.ERASED)
    .with_for_update(read=True, key_share=True)  # PostgreSQL: only a change of a key waits for it, as `erase` is one
)


async def lock_unless_erased(tx: Transaction, user_id: UUID) -> bool:
    """Whether the user is not erased, and will not be before this transaction ends.

    For whoever adds to what is erased with a user, holding the license or the ledger already: `erase` takes those first, too.
    """
    return (await tx.execute(_there, {"the_id": user_id})).one_or_none() is not None


async def lock_user(tx: Transaction, user_id: UUID) -> AnyRow:
    """The user's row as it is, held to the end of the transaction. Raises UserNotFound."""
    row = (await tx.execute(_columns.where(User.id == user_id).with_for_update())).one_or_none()
    if row is None:
        raise UserNotFound
    return row


async def erase_user(tx: Transaction, user_id: UUID) -> bool:
    """Empty the profile and free its address; false when it was done before. Ending what rests on the account is for the caller."""
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
        "status": Status.ERASED,
        "last_login_at": None,
    }
    open_ = update(table(User)).where(User.id == user_id, User.status != Status.ERASED)
    return (await tx.execute(open_.values(values))).rowcount == 1


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
