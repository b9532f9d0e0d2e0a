"""How an application's command names its license, and the lock that every change to a license begins with."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select, update

from app.base.problems import Malformed
from app.db.base import table
from app.db.database import Transaction
from app.licenses import facts, rules
from app.licenses.keys import key_digest
from app.licenses.models import License
from app.licenses.problems import LicenseNotFound, LicenseRevoked, LoginRequired, refusal
from app.licenses.rules import Asked, LicenseFacts
from app.web.callers import ActivatedDevice, EndUser
from app.web.problems import TokenInvalid
from app.world import World

_licenses = table(License)
_bump = update(_licenses).values(rev=_licenses.c.rev + 1).returning(_licenses.c.id)
_bump_id = _bump.where(_licenses.c.id == bindparam("the_id"))
_bump_key = _bump.where(_licenses.c.key_hash == bindparam("the_key"))
_there = select(_licenses.c.id).where(_licenses.c.id == bindparam("the_id"))


@dataclass(frozen=True)
class Claim:
    """By its key, by the id of a license that is assigned to the end user, or by the seat whose token came along.

    `product` is the product's code, if the application says which: a key of another product is then an unknown one (licensing R5).
    """

    key: str | None = field(default=None, repr=False)
    license_id: UUID | None = None
    product: str | None = None
    seat: ActivatedDevice | None = None


async def bump(tx: Transaction, license_id: UUID) -> None:
    """Lock the license for this transaction; the first statement of every change to seats, users or usage (licensing R34)."""
    if await tx.scalar(_bump_id, {"the_id": license_id}) is None:
        raise LicenseNotFound


async def there(tx: Transaction, license_id: UUID) -> bool:
    return await tx.scalar(_there, {"the_id": license_id}) is not None


async def known(tx: Transaction, license_id: UUID, now: datetime, user_id: UUID | None = None) -> LicenseFacts:
    """The license's standing, seen by this user. Raises LicenseNotFound."""
    it = await facts.standing(tx, facts.BY_LICENSE, facts.facts(now, license_id=license_id, user_id=user_id))
    if it is None:
        raise LicenseNotFound
    return it


async def unrevoked(tx: Transaction, world: World, license_id: UUID) -> LicenseFacts:
    """The license, locked, for an operator's change; a revoked one is past changing. Raises LicenseNotFound, LicenseRevoked."""
    await bump(tx, license_id)
    it = await known(tx, license_id, world.clock.now())
    if it.revoked_at is not None:
        raise LicenseRevoked("A revoked license stays as it is; issue a new one.")
    return it


async def locked(
    tx: Transaction, world: World, claim: Claim, end_user: EndUser | None, fingerprint: str | None
) -> tuple[LicenseFacts, datetime]:
    """The license that the claim names, locked, as the user and the device stand to it at the moment that is told with it.

    The clock is read under the lock: whoever waited for it must not judge by a moment before what the others did meanwhile.
    Raises LicenseNotFound, TokenInvalid.
    """
    if (claim.key, claim.license_id, claim.seat).count(None) != 2:
        sentence = "wants one of license_key, license_id (of a logged-in user) and the token of a seat"
        raise Malformed([("/license_key", "ambiguous", sentence)])
    license_id = await _lock(tx, world, claim, end_user)
    now = world.clock.now()
    named = facts.facts(now, fingerprint=fingerprint, user_id=end_user.id if end_user else None, license_id=license_id)
    if claim.seat is not None:
        it = await facts.standing(tx, facts.BY_SEAT, {**named, "seat_id": claim.seat.activation_id})
    else:
        it = await facts.standing(tx, facts.BY_LICENSE, named)
    if it is None or claim.product not in {None, it.product} or (claim.license_id is not None and not it.assigned):
        raise LicenseNotFound
    return it, now


async def _lock(tx: Transaction, world: World, claim: Claim, end_user: EndUser | None) -> UUID:
    license_id = claim.license_id
    if claim.seat is not None:
        if not claim.seat.live:
            raise TokenInvalid("The seat was given back; activate the device again.")
        license_id = claim.seat.license_id
    elif claim.license_id is not None and end_user is None:
        raise LoginRequired("Without its key, a license is for the end users it is assigned to; log in.")
    if license_id is None:
        return await _bumped_by_key(tx, key_digest(world.keys.lookup, claim.key or ""))
    await bump(tx, license_id)
    return license_id


async def _bumped_by_key(tx: Transaction, digest: bytes) -> UUID:
    license_id: UUID | None = await tx.scalar(_bump_key, {"the_key": digest})
    if license_id is None:
        raise LicenseNotFound
    return license_id


def usable(it: LicenseFacts, end_user: EndUser | None, now: datetime) -> None:
    """The guard of every command: the license's own standing, the same as on every other path (licensing R2)."""
    for reason in rules.license_reasons(it, Asked(user=end_user is not None), now):
        raise refusal(reason)
