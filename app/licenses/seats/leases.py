"""Renew the lease of a seat: by heartbeat, by activating again, or during an access decision."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, update

from app.db.base import table
from app.db.database import Transaction, on_commit
from app.events.service import record
from app.licenses import credentials, facts, locks, rules
from app.licenses.models import Activation
from app.licenses.problems import ActivationNotFound
from app.licenses.rules import LicenseFacts, Seat
from app.licenses.seats.rows import UPDATE_SEAT, ActiveSeat, DeviceInfo, build_active_seat, build_limit_problem, build_token_place
from app.observability.counters import seat_taken
from app.web.callers import ActivatedDevice, Subject
from app.web.problems import TokenInvalid
from app.world import World

_activations = table(Activation)


async def heartbeat(world: World, caller: ActivatedDevice | Subject, activation_id: UUID) -> ActiveSeat:
    """Renew the lease; if it has expired, take the seat again if one is free (licensing R23).

    Raises ActivationNotFound, TokenInvalid, SeatLimitReached and the license's refusals.
    """
    async with world.db.write() as tx:
        license, now = await _lock_seat(tx, world, caller, activation_id)
        seat = license.seat
        if seat is None or seat.released_at is not None:
            is_device = isinstance(caller, ActivatedDevice)
            raise TokenInvalid("The seat was released; activate the device again.") if is_device else ActivationNotFound
        user = caller if isinstance(caller, Subject) else None
        credentials.check_usable(license, user, now)
        if not seat.is_live(now):
            if not rules.has_free_seat(license):
                raise await build_limit_problem(tx, world, license, user)
            license = replace(license, seats_used=license.seats_used + 1)
            on_commit(tx, seat_taken.inc)
            await record(tx, world, "activation.taken", caller.actor, ("activation", activation_id), license=str(license.license_id))
        active_seat = await renew_seat(tx, world, license, seat)
        if isinstance(caller, ActivatedDevice) and active_seat.row.activated_at != caller.since:  # released and taken again before the lock
            raise TokenInvalid("The seat was taken again; use the newer token.")
        return active_seat


async def _lock_seat(
    tx: Transaction, world: World, caller: ActivatedDevice | Subject, activation_id: UUID
) -> tuple[LicenseFacts, datetime]:
    if isinstance(caller, ActivatedDevice):
        if caller.activation_id != activation_id:
            raise ActivationNotFound
        license_id: UUID | None = caller.license_id
    else:
        is_own = (_activations.c.id == activation_id, _activations.c.user_id == caller.id)
        license_id = await tx.scalar(select(_activations.c.license_id).where(*is_own))
    if license_id is None:
        raise ActivationNotFound
    await locks.lock_license(tx, license_id)
    now = world.clock.now()
    license = await facts.read_facts(tx, facts.BY_SEAT, facts.build_parameters(now, license_id=license_id, seat_id=activation_id))
    if license is None:
        raise ActivationNotFound
    return license, now


async def renew_seat(
    tx: Transaction, world: World, license: LicenseFacts, seat: Seat, device: DeviceInfo | None = None, subject: Subject | None = None
) -> ActiveSeat:
    """Renew the lease and store the device and user of the request; the token stays valid. The caller has locked the license."""
    now = world.clock.now()
    values: dict[str, Any] = {name: value for name, value in vars(device).items() if value is not None} if device else {}
    values.pop("fingerprint", None)
    if subject is not None:
        values["user_id"] = subject.id
    values |= {"last_seen_at": now, "lease_expires_at": rules.compute_lease_end(license.lease, now)}
    row = (await tx.execute(UPDATE_SEAT, {"the_id": seat.id, **values})).one()
    token = world.keys.sealer.open(row.token_sealed, build_token_place(seat.id)).decode()
    return build_active_seat(license, row, token, is_new=False)


async def renew_live_seat(tx: Transaction, world: World, license_id: UUID, seat: Seat, lease: str | None) -> Seat | None:
    """Renew the lease of a seat that is still live; None if it is not. For the access decision."""
    await locks.lock_license(tx, license_id)
    now = world.clock.now()
    is_unexpired = or_(_activations.c.lease_expires_at.is_(None), _activations.c.lease_expires_at > now)
    is_live = (_activations.c.id == seat.id, _activations.c.released_at.is_(None), is_unexpired)
    lease_end = rules.compute_lease_end(lease, now)
    result = await tx.execute(update(_activations).where(*is_live).values(last_seen_at=now, lease_expires_at=lease_end))
    return replace(seat, lease_expires_at=lease_end) if result.rowcount else None
