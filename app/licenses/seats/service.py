"""Taking and keeping a seat. No limit is ever exceeded: every change first bumps the license's row."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, or_, select, update

from app.base.durations import instant_text
from app.base.problems import Fact, Problem
from app.catalog.models import SeatBy
from app.catalog.rules import SEATED_BY_USER
from app.db.base import table
from app.db.database import Transaction, on_commit
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.licenses import credentials, data_lifecycle, guess_limits, locks, members, rules
from app.licenses import facts as standing
from app.licenses.credentials import LicenseCredential
from app.licenses.models import Activation
from app.licenses.problems import (
    ActivationCodeInvalid,
    ActivationNotFound,
    DeviceRequired,
    LoginRequired,
    SeatLimitReached,
    SeatsNotUsed,
)
from app.licenses.rules import LicenseFacts, Seat
from app.licenses.seats import codes, first_activation
from app.observability.counters import seat_refused, seat_taken
from app.security.sealing import Place, token_digest
from app.web.callers import ActivatedDevice, Subject
from app.web.problems import TokenInvalid
from app.world import World

PREFIX = "act_"
BURIED_AFTER = timedelta(days=1)
_activations = table(Activation)
_COLUMNS = [
    _activations.c[name]
    for name in (
        "id", "license_id", "user_id", "fingerprint", "name", "platform", "app_version", "lease_expires_at", "activated_at",
        "last_seen_at", "released_at", "release_reason",
    )
]  # fmt: skip
SHOWN = select(*_COLUMNS)
_new_seat = insert(_activations).returning(*_COLUMNS)
_same_seat = update(_activations).where(_activations.c.id == bindparam("the_id")).returning(*_COLUMNS, _activations.c.token_sealed)


@dataclass(frozen=True)
class DeviceInfo:
    """The device as its application names it. Compared exactly, by `fingerprint` alone."""

    fingerprint: str
    name: str | None = None
    platform: str | None = None
    app_version: str | None = None


@dataclass(frozen=True)
class ActiveSeat:
    """A live seat: its row, its token, the license's standing with this seat counted, and whether it was taken just now."""

    row: AnyRow
    token: str = field(repr=False)
    standing: LicenseFacts
    new: bool


async def activate(
    world: World, ip: str | None, subject: Subject | None, *, credential: LicenseCredential, code: str | None, device: DeviceInfo | None
) -> ActiveSeat:
    """Take a seat by credential or by code, or find that this device already holds one (which costs nothing and always wins, licensing R25)."""
    async with guess_limits.counting_wrong_guesses(world, ip, credential.key, code), world.db.write() as tx:
        return await _activated(tx, world, subject, credential, code, device)


async def _activated(
    tx: Transaction, world: World, subject: Subject | None, credential: LicenseCredential, code: str | None, device: DeviceInfo | None
) -> ActiveSeat:
    redeemed = await codes.find(tx, world, code) if code is not None else None
    it, now = await _locked(tx, world, credential, redeemed, subject, device)
    await data_lifecycle.present(tx, subject)
    joins = redeemed is not None and subject is not None and not it.assigned
    if joins:
        it = replace(it, assigned=True)
    _seatable(it, subject, device, now)
    live = it.seat if it.seat is not None and it.seat.live(now) and it.seat_by != SeatBy.SESSION else None
    if redeemed is not None:
        await codes.bound(tx, redeemed, subject)
        await _redeemed(tx, it, redeemed.id, now, free=live is not None and not joins)
    if joins and subject is not None:
        await members.assign(tx, world, subject.actor, it.license_id, subject.id, it.max_users)
    if live is not None:
        return await refreshed(tx, world, it, live, device, subject)
    return await _take(tx, world, it, device, subject, redeemed.id if redeemed is not None else None)


async def _redeemed(tx: Transaction, it: LicenseFacts, code_id: UUID, now: datetime, *, free: bool) -> None:
    """Spend the code, unless this is no new use of it. The seat that it took is paid for, also when its lease ran out; a device
    that is in costs nothing, but a code that is worth nothing opens nothing."""
    seat = it.seat if it.seat_by != SeatBy.SESSION else None
    paid = seat is not None and seat.released_at is None and seat.code_id == code_id
    if not paid and not free:
        await codes.spend(tx, code_id, now)
    elif not paid:
        await codes.usable(tx, code_id, now)


async def _locked(
    tx: Transaction,
    world: World,
    credential: LicenseCredential,
    redeemed: AnyRow | None,
    subject: Subject | None,
    device: DeviceInfo | None,
) -> tuple[LicenseFacts, datetime]:
    fingerprint = device.fingerprint if device else None
    if redeemed is None:
        return await credentials.lock_by_credential(tx, world, credential, subject, fingerprint)
    await locks.lock_license(tx, redeemed.license_id)
    now = world.clock.now()
    facts = standing.parameters(now, fingerprint=fingerprint, user_id=subject.id if subject else None, license_id=redeemed.license_id)
    it = await standing.read_one(tx, standing.BY_LICENSE, facts)
    if it is None or credential.product not in {None, it.product}:
        raise ActivationCodeInvalid  # a code of another product is an unknown one (licensing R5)
    return it, now


def _seatable(it: LicenseFacts, subject: Subject | None, device: DeviceInfo | None, now: datetime) -> None:
    credentials.check_usable(it, subject, now)
    if it.seat_by == SeatBy.NONE:
        raise SeatsNotUsed
    if it.seat_by in SEATED_BY_USER and subject is None:
        raise LoginRequired("The license seats its end users; log in and send the access token.")
    if it.seat_by != SeatBy.USER and device is None:
        raise DeviceRequired


async def refreshed(
    tx: Transaction, world: World, it: LicenseFacts, seat: Seat, device: DeviceInfo | None = None, subject: Subject | None = None
) -> ActiveSeat:
    """The seat with its lease renewed, with what the device says of itself and whose it is by now; its token stays."""
    now = world.clock.now()
    told: dict[str, Any] = {name: value for name, value in vars(device).items() if value is not None} if device else {}
    told.pop("fingerprint", None)
    if subject is not None:
        told["user_id"] = subject.id
    values = {**told, "last_seen_at": now, "lease_expires_at": rules.compute_lease_end(it.lease, now)}
    row = (await tx.execute(_same_seat, {"the_id": seat.id, **values})).one()
    return _held(it, row, world.keys.sealer.open(row.token_sealed, _place(seat.id)).decode(), new=False)


async def _take(
    tx: Transaction, world: World, it: LicenseFacts, device: DeviceInfo | None, subject: Subject | None, code_id: UUID | None
) -> ActiveSeat:
    """Take a free seat, in this device's own row if it has been here before (licensing R24, R26)."""
    if not rules.has_free_seat(it):
        raise await full(tx, world, it, subject)
    now = world.clock.now()
    if it.trial and device is not None:
        await first_activation.try_out(tx, world, it, device.fingerprint)
    if it.starts_at is None:
        it = await first_activation.start_clock(tx, world, it, now)
    if it.seat_by == SeatBy.SESSION:
        await _bury_lapsed(tx, it.license_id, now)
    again = it.seat is not None and it.seat_by != SeatBy.SESSION
    seat_id = it.seat.id if it.seat is not None and again else world.entropy.identifier()
    token = world.entropy.secret(PREFIX)
    values = {
        **_facts(it, device),
        "user_id": subject.id if subject else None,
        "activation_code_id": code_id,
        "token_hash": token_digest(token),
        "token_sealed": world.keys.sealer.seal(token.encode(), _place(seat_id)),
        "lease_expires_at": rules.compute_lease_end(it.lease, now),
        "activated_at": now,
        "last_seen_at": now,
        "released_at": None,
        "release_reason": None,
    }
    if again:
        row = (await tx.execute(_same_seat, {"the_id": seat_id, **values})).one()
    else:
        fresh = {"id": seat_id, "license_id": it.license_id, "user_key": _user_key(it, subject, seat_id), "created_at": now}
        row = (await tx.execute(_new_seat, {**values, **fresh})).one()
    actor = subject.actor if subject else Actor("device", seat_id)
    on_commit(tx, seat_taken.inc)
    await record(tx, world, "activation.taken", actor, ("activation", seat_id), subject.id if subject else None, license=str(it.license_id))
    return _held(replace(it, seats_used=it.seats_used + 1), row, token, new=True)


def _facts(it: LicenseFacts, device: DeviceInfo | None) -> dict[str, Any]:
    told = vars(device or DeviceInfo(""))
    return {**told, "fingerprint": ""} if it.seat_by == SeatBy.USER else dict(told)


def _user_key(it: LicenseFacts, subject: Subject | None, seat_id: UUID) -> str:
    if it.seat_by == SeatBy.SESSION:
        return str(seat_id)
    return str(subject.id) if subject is not None and it.seat_by in SEATED_BY_USER else ""


async def _bury_lapsed(tx: Transaction, license_id: UUID, now: datetime) -> None:
    """Processes die without a word and are never the same again: a day after its lease, a seat of theirs is past for good."""
    c = _activations.c
    lapsed = update(_activations).where(c.license_id == license_id, c.released_at.is_(None), c.lease_expires_at <= now - BURIED_AFTER)
    await tx.execute(lapsed.values(released_at=c.lease_expires_at, release_reason="lapsed"))


def _held(it: LicenseFacts, row: AnyRow, token: str, *, new: bool) -> ActiveSeat:
    return ActiveSeat(row, token, replace(it, seat=Seat(row.id, row.fingerprint, row.lease_expires_at, None)), new)


async def full(tx: Transaction, world: World, it: LicenseFacts, subject: Subject | None) -> Problem:
    """The refusal, with the seats that are in the way where the policy lets the holder give them back."""
    seat_refused.inc()
    facts: dict[str, Fact] = {"seats": {"used": it.seats_used, "limit": it.seat_limit}}
    if it.self_service:
        in_the_way = live(world.clock.now()).where(_activations.c.license_id == it.license_id)
        if it.seat_by == SeatBy.DEVICE_PER_USER and subject is not None:
            in_the_way = in_the_way.where(_activations.c.user_key == str(subject.id))
        rows = await tx.execute(in_the_way.order_by(_activations.c.id.desc()).limit(200))
        facts["activations"] = [
            {
                "id": str(row.id),
                "fingerprint": row.fingerprint or None,
                "name": row.name,
                "platform": row.platform,
                "last_seen_at": instant_text(row.last_seen_at),
            }
            for row in rows
        ]
    return SeatLimitReached("Release a device or buy more seats.", facts)


def live(now: datetime) -> Any:
    lease = _activations.c.lease_expires_at
    return SHOWN.where(_activations.c.released_at.is_(None), or_(lease.is_(None), lease > now))


def _place(seat_id: UUID) -> Place:
    return Place("activations", "token_sealed", seat_id)


async def heartbeat(world: World, by: ActivatedDevice | Subject, activation_id: UUID) -> ActiveSeat:
    """Renew the lease; a lapsed device takes its seat again if one is free (licensing R23). Raises SeatLimitReached and the standing's own."""
    async with world.db.write() as tx:
        it, now = await _locked_seat(tx, world, by, activation_id)
        seat = it.seat
        if seat is None or seat.released_at is not None:
            raise (
                TokenInvalid("The seat was given back; activate the device again.")
                if isinstance(by, ActivatedDevice)
                else ActivationNotFound
            )
        user = by if isinstance(by, Subject) else None
        credentials.check_usable(it, user, now)
        if not seat.live(now):
            if not rules.has_free_seat(it):
                raise await full(tx, world, it, user)
            it = replace(it, seats_used=it.seats_used + 1)
            on_commit(tx, seat_taken.inc)
            await record(tx, world, "activation.taken", by.actor, ("activation", activation_id), license=str(it.license_id))
        held = await refreshed(tx, world, it, seat)
        if isinstance(by, ActivatedDevice) and held.row.activated_at != by.since:
            raise TokenInvalid("The seat was taken anew; use the token of that.")  # given back and taken between look and lock
        return held


async def _locked_seat(tx: Transaction, world: World, by: ActivatedDevice | Subject, activation_id: UUID) -> tuple[LicenseFacts, datetime]:
    if isinstance(by, ActivatedDevice):
        if by.activation_id != activation_id:
            raise ActivationNotFound
        license_id: UUID | None = by.license_id
    else:
        mine = select(_activations.c.license_id).where(_activations.c.id == activation_id, _activations.c.user_id == by.id)
        license_id = await tx.scalar(mine)
    if license_id is None:
        raise ActivationNotFound
    await locks.lock_license(tx, license_id)
    now = world.clock.now()
    it = await standing.read_one(tx, standing.BY_SEAT, standing.parameters(now, license_id=license_id, seat_id=activation_id))
    if it is None:
        raise ActivationNotFound
    return it, now


async def renew_live(tx: Transaction, world: World, license_id: UUID, seat: Seat, lease: str | None) -> Seat | None:
    """A seat that is still live with its lease renewed, for the access decision; None when it was lost meanwhile."""
    await locks.lock_license(tx, license_id)
    now = world.clock.now()
    still_live = or_(_activations.c.lease_expires_at.is_(None), _activations.c.lease_expires_at > now)
    still = (_activations.c.id == seat.id, _activations.c.released_at.is_(None), still_live)
    until = rules.compute_lease_end(lease, now)
    renewed = await tx.execute(update(_activations).where(*still).values(last_seen_at=now, lease_expires_at=until))
    return replace(seat, lease_expires_at=until) if renewed.rowcount else None
