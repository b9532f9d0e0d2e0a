"""List seats, resolve activation tokens, and release seats, which is allowed in every status of the license (licensing R3)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, or_, select

from app.catalog.models import Policy
from app.db.base import table
from app.db.types import AnyRow
from app.events.service import Actor
from app.licenses import guess_limits, locks, releases
from app.licenses.keys import digest_key
from app.licenses.models import Activation, License
from app.licenses.problems import ActivationNotFound, LicenseNotFound
from app.licenses.seats.rows import SEATS, select_live_seats
from app.security.sealing import digest_token
from app.web.callers import ActivatedDevice, EndUser, Operator
from app.web.paging import PageWindow, read_page
from app.world import World

_activations = table(Activation)
_seat_owner = (
    select(_activations.c.license_id, _activations.c.user_id, License.key_hash, License.overrides, Policy.self_service)
    .join(License, License.id == _activations.c.license_id)
    .join(Policy, Policy.id == License.policy_id)
    .where(_activations.c.id == bindparam("the_id"))
)
_license_of_seat = select(_activations.c.license_id).where(_activations.c.id == bindparam("the_id"))
_seat_by_token = select(_activations.c.id, _activations.c.license_id, _activations.c.released_at, _activations.c.activated_at).where(
    _activations.c.token_hash == bindparam("the_token")
)


async def release(
    world: World, ip: str | None, caller: Operator | EndUser | ActivatedDevice | None, activation_id: UUID, key: str | None
) -> None:
    """Release a seat; releasing again changes nothing. Raises ActivationNotFound, also if the caller may not release the seat."""
    try:
        async with world.db.write() as tx:
            license_id = await tx.scalar(_license_of_seat, {"the_id": activation_id})
            if license_id is None:
                raise ActivationNotFound
            await locks.lock_license(tx, license_id)
            seat = (await tx.execute(_seat_owner, {"the_id": activation_id})).one()
            if not _may_release(world, caller, seat, activation_id, key):
                raise ActivationNotFound
            actor = caller.actor if caller else Actor("anonymous")
            await releases.release_seats(tx, world, actor, f"by_{actor.type}", _activations.c.id == activation_id)
    except ActivationNotFound:
        if key is not None:
            await guess_limits.count_wrong_guess(world, ip, key)
        raise


def _may_release(
    world: World, caller: Operator | EndUser | ActivatedDevice | None, seat: AnyRow, activation_id: UUID, key: str | None
) -> bool:
    if isinstance(caller, Operator):
        caller.require("licenses:write")
        return True
    if isinstance(caller, EndUser) and seat.user_id == caller.id:
        return True
    if isinstance(caller, ActivatedDevice) and caller.activation_id == activation_id:
        return True
    self_service = seat.overrides.get("self_service", seat.self_service)
    return bool(key is not None and self_service and digest_key(world.keys.lookup, key) == seat.key_hash)


async def resolve_token(world: World, token: str) -> ActivatedDevice | None:
    """Return the device of an activation token. Tokens of released seats resolve too, so that releasing twice is not an error."""
    row = await world.db.query_one(_seat_by_token, {"the_token": digest_token(token)})
    return ActivatedDevice(row.id, row.license_id, row.released_at is None, row.activated_at) if row is not None else None


async def list_activations(
    world: World,
    window: PageWindow,
    *,
    license_id: UUID | None = None,
    fingerprint: str | None = None,
    user_id: UUID | None = None,
    live_only: bool | None = None,
) -> tuple[Sequence[AnyRow], str | None]:
    """List seats, newest first. By default all that are not released (licensing R27).

    `live_only`: True lists the live seats, False those that are not live (released, or with an expired lease).

    Raises LicenseNotFound.
    """
    now = world.clock.now()
    c = _activations.c
    statement: Any = select_live_seats(now) if live_only else SEATS.where(c.released_at.is_(None))
    if live_only is False:
        statement = SEATS.where(or_(c.released_at.is_not(None), c.lease_expires_at <= now))
    for column, value in ((c.license_id, license_id), (c.fingerprint, fingerprint), (c.user_id, user_id)):
        if value is not None:
            statement = statement.where(column == value)
    async with world.db.read() as tx:
        if license_id is not None and not await locks.license_exists(tx, license_id):
            raise LicenseNotFound
        return await read_page(tx, statement, Activation.id, window)
