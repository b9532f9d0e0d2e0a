"""Assign end users to a license, and remove them."""

from uuid import UUID

from sqlalchemy import delete, insert, select

from app.db.base import table
from app.db.database import Transaction
from app.db.types import Limit
from app.events.service import Actor, record
from app.licenses import locks, releases
from app.licenses.models import Activation, LicenseUser
from app.licenses.problems import UserLimitReached
from app.users.data_lifecycle import lock_unless_erased
from app.users.models import User
from app.users.problems import UserErased, UserNotFound
from app.web.callers import Subject
from app.web.problems import TokenInvalid
from app.world import World

_add = insert(table(LicenseUser))


async def assign(tx: Transaction, world: World, actor: Actor, license_id: UUID, user_id: UUID, max_users: Limit | None) -> None:
    """Add a user to the locked license; adding again changes nothing.

    Raises UserNotFound, UserErased, UserLimitReached.
    """
    if not await lock_unless_erased(tx, user_id):
        raise UserNotFound if await tx.scalar(select(User.id).where(User.id == user_id)) is None else UserErased
    assigned = (await tx.scalars(select(LicenseUser.user_id).where(LicenseUser.license_id == license_id))).all()
    if user_id in assigned:
        return
    if isinstance(max_users, int) and len(assigned) >= max_users:
        raise UserLimitReached("Remove a user from the license first.", {"users": {"used": len(assigned), "limit": max_users}})
    await tx.execute(_add, {"license_id": license_id, "user_id": user_id, "added_at": world.clock.now()})
    await record(tx, world, "license.user_added", actor, ("license", license_id), user_id)


async def remove(world: World, actor: Actor, license_id: UUID, user_id: UUID) -> None:
    """Remove a user from the license and release that user's seats (licensing R31). Removing again changes nothing."""
    async with world.db.write() as tx:
        await locks.lock_license(tx, license_id)
        assignment = delete(LicenseUser).where(LicenseUser.license_id == license_id, LicenseUser.user_id == user_id)
        removed = (await tx.execute(assignment)).rowcount
        seats = (Activation.license_id == license_id, Activation.user_id == user_id)  # also seats taken by key, without an assignment
        released = await releases.release_seats(tx, world, actor, "user_removed", *seats)
        if removed or released:
            await record(tx, world, "license.user_removed", actor, ("license", license_id), user_id, seats_released=released)


async def lock_user_against_erasure(tx: Transaction, subject: Subject | None) -> None:
    """Block the erasure of this end user until the transaction ends. The caller has locked the license.

    Raises TokenInvalid if the user was erased already.
    """
    if subject is not None and not await lock_unless_erased(tx, subject.id):
        raise TokenInvalid("The account was erased.")
