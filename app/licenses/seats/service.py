"""Activate a device: take a seat, or return the seat that the device already has.

No limit is ever exceeded, because every change first locks the license's row.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update

from app.catalog.models import SeatBy
from app.catalog.rules import SEATED_BY_USER
from app.db.base import table
from app.db.database import Transaction, on_commit
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.licenses import credentials, facts, guess_limits, locks, members, rules
from app.licenses.credentials import LicenseCredential
from app.licenses.models import Activation
from app.licenses.problems import ActivationCodeInvalid, DeviceRequired, LoginRequired, SeatsNotUsed
from app.licenses.rules import LicenseFacts
from app.licenses.seats import codes, first_activation
from app.licenses.seats.leases import renew_seat
from app.licenses.seats.rows import (
    INSERT_SEAT,
    UPDATE_SEAT,
    ActiveSeat,
    DeviceInfo,
    build_active_seat,
    build_limit_problem,
    build_token_place,
)
from app.observability.counters import seat_taken
from app.security.sealing import digest_token
from app.web.callers import Subject
from app.world import World

SEAT_PREFIX = "act_"
LAPSED_AFTER = timedelta(days=1)
"""How long after its lease the seat of a process is released."""
_activations = table(Activation)


async def activate(
    world: World,
    ip: str | None,
    subject: Subject | None,
    *,
    credential: LicenseCredential,
    code: str | None,
    device: DeviceInfo | None,
) -> ActiveSeat:
    """Take a seat by a license credential or an activation code. A device with a live seat keeps it and needs no free one (licensing R25).

    Raises LicenseNotFound, ActivationCodeInvalid, ActivationCodeBound, ActivationCodeSpent, LoginRequired, DeviceRequired, SeatsNotUsed,
    SeatLimitReached, UserLimitReached, TrialUsed and the license's refusals.
    """
    async with guess_limits.counting_wrong_guesses(world, ip, credential.key, code), world.db.write() as tx:
        return await _activate(tx, world, subject, credential, code, device)


async def _activate(
    tx: Transaction, world: World, subject: Subject | None, credential: LicenseCredential, code: str | None, device: DeviceInfo | None
) -> ActiveSeat:
    code_row = await codes.find_code(tx, world, code) if code is not None else None
    license, now = await _lock_license(tx, world, credential, code_row, subject, device)
    await members.lock_user_against_erasure(tx, subject)
    assigns_user = code_row is not None and subject is not None and not license.assigned
    if assigns_user:
        license = replace(license, assigned=True)
    _check_can_seat(license, subject, device, now)
    live_seat = license.seat if license.seat is not None and license.seat.is_live(now) and license.seat_by != SeatBy.SESSION else None
    if code_row is not None:
        await codes.check_recipient(tx, code_row, subject)
        await _redeem_code(tx, license, code_row.id, now, keeps_seat=live_seat is not None and not assigns_user)
    if assigns_user and subject is not None:
        await members.assign(tx, world, subject.actor, license.license_id, subject.id, license.max_users)
    if live_seat is not None:
        return await renew_seat(tx, world, license, live_seat, device, subject)
    return await _take_seat(tx, world, license, device, subject, code_row.id if code_row is not None else None)


async def _redeem_code(tx: Transaction, license: LicenseFacts, code_id: UUID, now: datetime, *, keeps_seat: bool) -> None:
    """Spend the code if this activation is a new use of it. Raises ActivationCodeSpent.

    A seat that the code took before costs no second use, even after its lease ended. A device that keeps its seat (`keeps_seat`)
    and adds no user to the license spends nothing, but its code must still be valid.
    """
    seat = license.seat if license.seat_by != SeatBy.SESSION else None
    seat_is_from_code = seat is not None and seat.released_at is None and seat.code_id == code_id
    if not seat_is_from_code and not keeps_seat:
        await codes.spend(tx, code_id, now)
    elif not seat_is_from_code:
        await codes.check_usable(tx, code_id, now)


async def _lock_license(
    tx: Transaction,
    world: World,
    credential: LicenseCredential,
    code: AnyRow | None,
    subject: Subject | None,
    device: DeviceInfo | None,
) -> tuple[LicenseFacts, datetime]:
    fingerprint = device.fingerprint if device else None
    if code is None:
        return await credentials.lock_by_credential(tx, world, credential, subject, fingerprint)
    await locks.lock_license(tx, code.license_id)
    now = world.clock.now()
    user_id = subject.id if subject else None
    parameters = facts.build_parameters(now, fingerprint=fingerprint, user_id=user_id, license_id=code.license_id)
    license = await facts.read_facts(tx, facts.BY_LICENSE, parameters)
    if license is None or credential.product not in {None, license.product}:
        raise ActivationCodeInvalid  # a code of another product is unknown (licensing R5)
    return license, now


def _check_can_seat(license: LicenseFacts, subject: Subject | None, device: DeviceInfo | None, now: datetime) -> None:
    credentials.check_usable(license, subject, now)
    if license.seat_by == SeatBy.NONE:
        raise SeatsNotUsed
    if license.seat_by in SEATED_BY_USER and subject is None:
        raise LoginRequired("The seats of this license belong to users; log in and send the access token.")
    if license.seat_by != SeatBy.USER and device is None:
        raise DeviceRequired


async def _take_seat(
    tx: Transaction, world: World, license: LicenseFacts, device: DeviceInfo | None, subject: Subject | None, code_id: UUID | None
) -> ActiveSeat:
    """Take a free seat, in this device's earlier row if there is one (licensing R24, R26)."""
    if not rules.has_free_seat(license):
        raise await build_limit_problem(tx, world, license, subject)
    now = world.clock.now()
    license = await _prepare_license(tx, world, license, device, now)
    row, token = await _write_seat(tx, world, license, device, subject, code_id, now)
    actor = subject.actor if subject else Actor("device", row.id)
    user_id = subject.id if subject else None
    on_commit(tx, seat_taken.inc)
    await record(tx, world, "activation.taken", actor, ("activation", row.id), user_id, license=str(license.license_id))
    return build_active_seat(replace(license, seats_used=license.seats_used + 1), row, token, is_new=True)


async def _write_seat(
    tx: Transaction,
    world: World,
    license: LicenseFacts,
    device: DeviceInfo | None,
    subject: Subject | None,
    code_id: UUID | None,
    now: datetime,
) -> tuple[AnyRow, str]:
    """Write the seat to this device's earlier row, or to a new one; return the row and the new activation token."""
    reuses_row = license.seat is not None and license.seat_by != SeatBy.SESSION
    seat_id = license.seat.id if license.seat is not None and reuses_row else world.entropy.identifier()
    token = world.entropy.secret(SEAT_PREFIX)
    values = {
        **_build_device_values(license, device),
        "user_id": subject.id if subject else None,
        "activation_code_id": code_id,
        "token_hash": digest_token(token),
        "token_sealed": world.keys.sealer.seal(token.encode(), build_token_place(seat_id)),
        "lease_expires_at": rules.compute_lease_end(license.lease, now),
        "activated_at": now,
        "last_seen_at": now,
        "released_at": None,
        "release_reason": None,
    }
    if reuses_row:
        return (await tx.execute(UPDATE_SEAT, {"the_id": seat_id, **values})).one(), token
    user_key = _choose_user_key(license, subject, seat_id)
    values |= {"id": seat_id, "license_id": license.license_id, "user_key": user_key, "created_at": now}
    return (await tx.execute(INSERT_SEAT, values)).one(), token


async def _prepare_license(tx: Transaction, world: World, license: LicenseFacts, device: DeviceInfo | None, now: datetime) -> LicenseFacts:
    """Prepare the license for a new seat: use the trial, start the clock, release lapsed seats of processes."""
    if license.trial and device is not None:
        await first_activation.use_trial(tx, world, license, device.fingerprint)
    if license.starts_at is None:
        license = await first_activation.start_clock(tx, world, license, now)
    if license.seat_by == SeatBy.SESSION:
        await _release_lapsed(tx, license.license_id, now)
    return license


def _build_device_values(license: LicenseFacts, device: DeviceInfo | None) -> dict[str, Any]:
    values = dict(vars(device or DeviceInfo("")))
    return {**values, "fingerprint": ""} if license.seat_by == SeatBy.USER else values


def _choose_user_key(license: LicenseFacts, subject: Subject | None, seat_id: UUID) -> str:
    if license.seat_by == SeatBy.SESSION:
        return str(seat_id)
    return str(subject.id) if subject is not None and license.seat_by in SEATED_BY_USER else ""


async def _release_lapsed(tx: Transaction, license_id: UUID, now: datetime) -> None:
    """Release seats of processes whose lease ended a day ago: a process may end without a release, and its seat is never used again."""
    c = _activations.c
    lapsed = update(_activations).where(c.license_id == license_id, c.released_at.is_(None), c.lease_expires_at <= now - LAPSED_AFTER)
    await tx.execute(lapsed.values(released_at=c.lease_expires_at, release_reason="lapsed"))
