"""Find and lock the license that a client uses, by key, id or activation token, and check that it can be used."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.base.problems import Malformed
from app.db.database import Transaction
from app.licenses import facts, locks, rules
from app.licenses.keys import digest_key
from app.licenses.problems import LicenseNotFound, LoginRequired, build_refusal
from app.licenses.rules import LicenseFacts, UseRequest
from app.web.callers import ActivatedDevice, EndUser
from app.web.problems import TokenInvalid
from app.world import World


@dataclass(frozen=True)
class LicenseCredential:
    """A license key, the id of a license that is assigned to the end user, or the seat of an activation token.

    `product`: the product's code, if the client sends one; a key of another product is then unknown (licensing R5).
    """

    key: str | None = field(default=None, repr=False)
    license_id: UUID | None = None
    product: str | None = None
    seat: ActivatedDevice | None = None


async def lock_by_credential(
    tx: Transaction, world: World, credential: LicenseCredential, end_user: EndUser | None, fingerprint: str | None
) -> tuple[LicenseFacts, datetime]:
    """Lock the license of the credential; return its facts for this user and device, and the time of reading.

    The clock is read under the lock: a request that waited must not use a time before the changes it waited for.
    Raises LicenseNotFound, LoginRequired, TokenInvalid, Malformed.
    """
    if (credential.key, credential.license_id, credential.seat).count(None) != 2:
        sentence = "requires exactly one of license_key, license_id (with a logged-in user) and an activation token"
        raise Malformed([("/license_key", "ambiguous", sentence)])
    license_id = await _lock_named_license(tx, world, credential, end_user)
    now = world.clock.now()
    parameters = facts.build_parameters(now, fingerprint=fingerprint, user_id=end_user.id if end_user else None, license_id=license_id)
    if credential.seat is not None:
        license = await facts.read_facts(tx, facts.BY_SEAT, {**parameters, "seat_id": credential.seat.activation_id})
    else:
        license = await facts.read_facts(tx, facts.BY_LICENSE, parameters)
    if license is None or credential.product not in {None, license.product}:
        raise LicenseNotFound
    if credential.license_id is not None and not license.assigned:
        raise LicenseNotFound
    return license, now


async def _lock_named_license(tx: Transaction, world: World, credential: LicenseCredential, end_user: EndUser | None) -> UUID:
    license_id = credential.license_id
    if credential.seat is not None:
        if not credential.seat.live:
            raise TokenInvalid("The seat was released; activate the device again.")
        license_id = credential.seat.license_id
    elif credential.license_id is not None and end_user is None:
        raise LoginRequired("Without its key, a license can be used only by its assigned end users; log in.")
    if license_id is None:
        return await locks.lock_by_key(tx, digest_key(world.keys.lookup, credential.key or ""))
    await locks.lock_license(tx, license_id)
    return license_id


def check_usable(license: LicenseFacts, end_user: EndUser | None, now: datetime) -> None:
    """Raise the problem of the first reason against any use of the license, the same on every path (licensing R2)."""
    for reason in rules.find_license_reasons(license, UseRequest(has_user=end_user is not None), now):
        raise build_refusal(reason)
