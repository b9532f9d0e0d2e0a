"""Create end users, change their profiles, suspend and restore their accounts."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.users.models import User, UserStatus
from app.users.problems import AgeBandFixed, EmailTaken, UserErased, UserExternalIdTaken, UserNotFound
from app.users.rules import fold_identifier, may_change_age_band
from app.web.paging import PageWindow, read_page
from app.world import World

Values = dict[str, Any]

_users = select(*table(User).columns)


async def insert_user(tx: Transaction, world: World, actor: Actor, values: Values) -> AnyRow:
    """Insert an end user. Raises IntegrityError for a taken address or external id; see `translate_unique_violation`."""
    now = world.clock.now()
    row = {
        **values,
        "id": world.entropy.identifier(),
        "email_folded": fold_identifier(values["email"]),
        "email_verified_at": now if values.get("email_verified") else None,
        "status": UserStatus.ACTIVE,
        "created_at": now,
    }
    row.pop("email_verified", None)
    await tx.execute(insert(table(User)).values(row))
    await record(tx, world, "user.created", actor, ("user", row["id"]), row["id"])
    return (await tx.execute(_users.where(User.id == row["id"]))).one()


def translate_unique_violation(error: IntegrityError) -> Exception:
    """Translate a violated unique constraint into its problem; return any other error as it is."""
    if dialect.violates_unique(error, table(User), "email_folded"):
        return EmailTaken()
    if dialect.violates_unique(error, table(User), "external_id"):
        return UserExternalIdTaken()
    return error


async def get_user(world: World, user_id: UUID) -> AnyRow:
    """Return an end user. Raises UserNotFound."""
    async with world.db.query() as tx:
        return await _get_row(tx, user_id)


async def list_users(world: World, window: PageWindow, email: str | None, external_id: str | None) -> tuple[Sequence[AnyRow], str | None]:
    """List end users, optionally by address or external id; returns the rows and the next cursor."""
    query = _users
    if email is not None:
        query = query.where(User.email_folded == fold_identifier(email))
    if external_id is not None:
        query = query.where(User.external_id == external_id)
    async with world.db.query() as tx:
        return await read_page(tx, query, User.id, window)


async def change_user(world: World, actor: Actor, user_id: UUID, changes: Values) -> AnyRow:
    """Change the profile. `email_verified` true keeps the time of an earlier verification.

    Raises UserNotFound, UserErased, UserExternalIdTaken; AgeBandFixed if the user is the actor.
    """
    try:
        async with world.db.write() as tx:
            user = await _get_row(tx, user_id)
            values = dict(changes)
            if actor.type == "user" and not may_change_age_band(user.age_band, values.get("age_band", user.age_band)):
                raise AgeBandFixed
            if (verified := values.pop("email_verified", None)) is not None:
                values["email_verified_at"] = (user.email_verified_at or world.clock.now()) if verified else None
            if values:
                current = update(table(User)).where(User.id == user_id, User.status != UserStatus.ERASED)
                if not (await tx.execute(current.values(values))).rowcount:
                    raise UserErased
                await record(tx, world, "user.changed", actor, ("user", user_id), user_id, fields=sorted(changes))
            return await _get_row(tx, user_id)
    except IntegrityError as error:
        raise translate_unique_violation(error) from error


async def set_status(world: World, actor: Actor, user_id: UUID, status: UserStatus) -> AnyRow:
    """Suspend or restore an account. Repeating it changes nothing and records no event. Raises UserNotFound, UserErased.

    Suspending increments `auth_epoch`, which keeps earlier sessions invalid after the account is restored (authentication R59).
    """
    async with world.db.write() as tx:
        if (await _get_row(tx, user_id)).status == UserStatus.ERASED:
            raise UserErased
        epoch = User.auth_epoch + 1 if status is UserStatus.SUSPENDED else User.auth_epoch
        statement = (
            update(User).where(User.id == user_id, User.status.not_in([status, UserStatus.ERASED])).values(status=status, auth_epoch=epoch)
        )
        if (await tx.execute(statement)).rowcount:
            event = "user.suspended" if status is UserStatus.SUSPENDED else "user.restored"
            await record(tx, world, event, actor, ("user", user_id), user_id)
        return await _get_row(tx, user_id)


async def _get_row(tx: Transaction, user_id: UUID) -> AnyRow:
    row = (await tx.execute(_users.where(User.id == user_id))).one_or_none()
    if row is None:
        raise UserNotFound
    return row
