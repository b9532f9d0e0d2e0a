"""Lock a license for the rest of the transaction, and read it under the lock."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select, update

from app.db.base import table
from app.db.database import Transaction
from app.licenses import facts
from app.licenses.models import License
from app.licenses.problems import LicenseNotFound, LicenseRevoked
from app.licenses.rules import LicenseFacts
from app.world import World

_licenses = table(License)
_bump = update(_licenses).values(rev=_licenses.c.rev + 1).returning(_licenses.c.id)
_bump_by_id = _bump.where(_licenses.c.id == bindparam("the_id"))
_bump_by_key = _bump.where(_licenses.c.key_hash == bindparam("the_key"))
_exists = select(_licenses.c.id).where(_licenses.c.id == bindparam("the_id"))


async def lock_license(tx: Transaction, license_id: UUID) -> None:
    """Lock the license's row. Every change to its seats, users or usage does this first (licensing R34).

    Raises LicenseNotFound.
    """
    if await tx.scalar(_bump_by_id, {"the_id": license_id}) is None:
        raise LicenseNotFound


async def lock_by_key(tx: Transaction, digest: bytes) -> UUID:
    """Lock the license that has this key digest and return its id. Raises LicenseNotFound."""
    license_id: UUID | None = await tx.scalar(_bump_by_key, {"the_key": digest})
    if license_id is None:
        raise LicenseNotFound
    return license_id


async def lock_unrevoked(tx: Transaction, world: World, license_id: UUID) -> LicenseFacts:
    """Lock and read a license for an operator's change. Raises LicenseNotFound, LicenseRevoked."""
    await lock_license(tx, license_id)
    license = await read_license(tx, license_id, world.clock.now())
    if license.revoked_at is not None:
        raise LicenseRevoked("A revoked license cannot be changed; issue a new one.")
    return license


async def license_exists(tx: Transaction, license_id: UUID) -> bool:
    return await tx.scalar(_exists, {"the_id": license_id}) is not None


async def read_license(tx: Transaction, license_id: UUID, now: datetime, user_id: UUID | None = None) -> LicenseFacts:
    """Read all facts of the license, including those about this user. Raises LicenseNotFound."""
    license = await facts.read_facts(tx, facts.BY_LICENSE, facts.build_parameters(now, license_id=license_id, user_id=user_id))
    if license is None:
        raise LicenseNotFound
    return license
