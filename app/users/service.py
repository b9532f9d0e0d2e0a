"""Creating end users, changing their profile, suspending and restoring them."""

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
from app.users.models import Status, User
from app.users.problems import AgeBandFixed, EmailTaken, UserErased, UserExternalIdTaken, UserNotFound
from app.users.rules import fold_identifier, may_change_age_band
from app.web.paging import PageWindow, read_page
from app.world import World

Values = dict[str, Any]

_users = select(*table(User).columns)


async def insert_user(tx: Transaction, world: World, actor: Actor, values: Values) -> AnyRow:
    """One new end user. Raises IntegrityError for a taken address or external id; see `named`."""
    now = world.clock.now()
    row = {
        **values,
        "id": world.entropy.identifier(),
        "email_folded": fold_identifier(values["email"]),
        "email_verified_at": now if values.get("email_verified") else None,
        "status": Status.ACTIVE,
        "created_at": now,
    }
    row.pop("email_verified", None)
    await tx.execute(insert(table(User)).values(row))
    await record(tx, world, "user.created", actor, ("user", row["id"]), row["id"])
    return (await tx.execute(_users.where(User.id == row["id"]))).one()


def unique_violation(error: IntegrityError) -> Exception:
    """The refusal that a broken uniqueness means."""
    if dialect.violates_unique(error, table(User), "email_folded"):
        return EmailTaken()
    if dialect.violates_unique(error, table(User), "external_id"):
        return UserExternalIdTaken()
    return error


async def get_user(world: World, user_id: UUID) -> AnyRow:
    async with world.db.query() as tx:
        return await _one(tx, user_id)


async def list_users(world: World, window: PageWindow, email: str | None, external_id: str | None) -> tuple[Sequence[AnyRow], str | None]:
    wanted = _users
    if email is not None:
        wanted = wanted.where(User.email_folded == fold_identifier(email))
    if external_id is not None:
        wanted = wanted.where(User.external_id == external_id)
    async with world.db.query() as tx:
        return await read_page(tx, wanted, User.id, window)


async def change_user(world: World, actor: Actor, user_id: UUID, changes: Values) -> AnyRow:
    """Change the profile. `email_verified` true keeps the instant of an earlier proof.

    Raises UserErased, AgeBandFixed for a user's own change.
    """
    try:
        async with world.db.write() as tx:
            found = await _one(tx, user_id)
            values = dict(changes)
            if actor.type == "user" and not may_change_age_band(found.age_band, values.get("age_band", found.age_band)):
                raise AgeBandFixed
            if (verified := values.pop("email_verified", None)) is not None:
                values["email_verified_at"] = (found.email_verified_at or world.clock.now()) if verified else None
            if values:
                there = update(table(User)).where(User.id == user_id, User.status != Status.ERASED)
                if not (await tx.execute(there.values(values))).rowcount:
                    raise UserErased
                await record(tx, world, "user.changed", actor, ("user", user_id), user_id, fields=sorted(changes))
            return await _one(tx, user_id)
    except IntegrityError as error:
        raise unique_violation(error) from error


async def set_status(world: World, actor: Actor, user_id: UUID, status: Status) -> AnyRow:
    """Suspend or restore. Doing it again changes nothing and tells nothing.

    Suspending ends an epoch of the account: what was open before stays shut when it is restored (authentication R59).
    Raises UserErased.
    """
    async with world.db.write() as tx:
        if (await _one(tx, user_id)).status == Status.ERASED:
            raise UserErased
        epoch = User.auth_epoch + 1 if status is Status.SUSPENDED else User.auth_epoch
        statement = (
            update(User).where(User.id == user_id, User.status.not_in([status, Status.ERASED])).values(status=status, auth_epoch=epoch)
        )
        if (await tx.execute(statement)).rowcount:
            event = "user.suspended" if status is Status.SUSPENDED else "user.restored"
            await record(tx, world, event, actor, ("user", user_id), user_id)
        return await _one(tx, user_id)


async def _one(tx: Transaction, user_id: UUID) -> AnyRow:
    row = (await tx.execute(_users.where(User.id == user_id))).one_or_none()
    if row is None:
        raise UserNotFound
    return row
