"""Taking, keeping and giving back a seat. No limit is ever exceeded: every change first bumps the license's row."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, or_, select, update

from app.base.problems import Fact, Problem
from app.base.sealing import Place, token_digest
from app.catalog.models import Policy, SeatBy
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.licenses import codes, rules, service, standing
from app.licenses.keys import key_digest
from app.licenses.models import Activation, License
from app.licenses.problems import ActivationNotFound, DeviceRequired, LicenseNotFound, SeatLimitReached, SeatsNotUsed, refusal
from app.licenses.rules import Asked, Seat, Standing
from app.web.callers import Device, EndUser, Operator, Subject
from app.web.paging import Window, page
from app.web.problems import TokenInvalid
from app.world import World

PREFIX = "act_"
_shown = select(
    Activation.id,
    Activation.license_id,
    Activation.user_id,
    Activation.fingerprint,
    Activation.name,
    Activation.platform,
    Activation.app_version,
    Activation.lease_expires_at,
    Activation.activated_at,
    Activation.last_seen_at,
    Activation.released_at,
)

_owner = (
    select(Activation.license_id, Activation.user_id, License.key_hash, Policy.self_service)
    .join(License, License.id == Activation.license_id)
    .join(Policy, Policy.id == License.policy_id)
)


@dataclass(frozen=True)
class DeviceFacts:
    """The device as its application names it. Compared exactly, by `fingerprint` alone."""

    fingerprint: str
    name: str | None = None
    platform: str | None = None
    app_version: str | None = None


@dataclass(frozen=True)
class Held:
    """A live seat: its row, its token, the license's standing with this seat counted, and whether it was taken just now."""

    row: AnyRow
    token: str = field(repr=False)
    standing: Standing
    new: bool


async def activate(world: World, by: Subject | None, *, key: str | None, code: str | None, device: DeviceFacts | None) -> Held:
    """Take a seat by key or by code, or find that this device already holds one (which costs nothing and always wins, R25)."""
    now = world.clock.now()
    async with world.db.write() as session:
        redeemed = await codes.find(session, world, code) if code is not None else None
        license_id = await _bumped(session, world, key, redeemed)
        parameters = standing.facts(
            now, fingerprint=device.fingerprint if device else None, user_id=by.id if by else None, license_id=license_id
        )
        it = await standing.standing(session, standing.BY_LICENSE, parameters)
        if it is None:
            raise LicenseNotFound
        joins = redeemed is not None and by is not None and not it.assigned
        if joins:
            it = replace(it, assigned=True)
        _usable(it, by, now)
        if device is None:
            raise DeviceRequired
        live = it.seat if it.seat is not None and it.seat.live(now) else None
        # A code speaks for the seat that it took and for no other: what else it is used for, it is spent on.
        if redeemed is not None and (joins or live is None or live.code_id != redeemed.id):
            await codes.spend(session, redeemed.id, now)
        if joins and by is not None:
            await service.assign(session, world, by.actor, license_id, by.id, it.max_users)
        if live is not None:
            return await _refreshed(session, world, it, live, device, by)
        return await _take(session, world, it, device, by, redeemed.id if redeemed is not None else None)


async def _bumped(session: Session, world: World, key: str | None, redeemed: AnyRow | None) -> UUID:
    if redeemed is not None:
        found = await service.bump(session, license_id=redeemed.license_id)
    else:
        found = await service.bump(session, key_hash=key_digest(world.keys.lookup, key or ""))
    if found is None:
        raise LicenseNotFound
    return found


def _usable(it: Standing, by: EndUser | None, now: datetime) -> None:
    """The guard of every seat command: the license's own standing, the same as on every other path (R2)."""
    for reason in rules.license_reasons(it, Asked(user=by is not None), now):
        raise refusal(reason.code, reason.detail, dict(reason.facts))
    if it.seat_by == SeatBy.NONE:
        raise SeatsNotUsed


async def _refreshed(
    session: Session, world: World, it: Standing, seat: Seat, device: DeviceFacts | None = None, by: Subject | None = None
) -> Held:
    """The seat with its lease renewed, with what the device says of itself and whose it is by now; its token stays."""
    now = world.clock.now()
    told: dict[str, Any] = {name: value for name, value in vars(device).items() if value is not None} if device else {}
    if by is not None:
        told["user_id"] = by.id
    values = {**told, "last_seen_at": now, "lease_expires_at": rules.lease_end(it.lease, now)}
    sealed = update(Activation).where(Activation.id == seat.id).values(values).returning(Activation.token_sealed)
    token = world.keys.sealer.open((await session.execute(sealed)).scalar_one(), _place(seat.id)).decode()
    return await _held(session, it, seat.id, token, new=False)


async def _take(session: Session, world: World, it: Standing, device: DeviceFacts, by: Subject | None, code_id: UUID | None) -> Held:
    """Take a free seat, in this device's own row if it has been here before (R24, R26)."""
    if not rules.seat_free(it):
        raise await _full(session, world, it)
    now = world.clock.now()
    seat_id = it.seat.id if it.seat else world.entropy.identifier()
    token = world.entropy.secret(PREFIX)
    values = {
        **vars(device),
        "user_id": by.id if by else None,
        "activation_code_id": code_id,
        "token_hash": token_digest(token),
        "token_sealed": world.keys.sealer.seal(token.encode(), _place(seat_id)),
        "lease_expires_at": rules.lease_end(it.lease, now),
        "activated_at": now,
        "last_seen_at": now,
        "released_at": None,
    }
    if it.seat is not None:
        await session.execute(update(Activation).where(Activation.id == seat_id).values(values))
    else:
        row = {**values, "id": seat_id, "license_id": it.license_id, "user_key": "", "created_at": now}
        await session.execute(insert(Activation).values(row))
    actor = by.actor if by else Actor("device", seat_id)
    await record(session, world, "activation.taken", actor, ("activation", seat_id), by.id if by else None, license=str(it.license_id))
    return await _held(session, replace(it, seats_used=it.seats_used + 1), seat_id, token, new=True)


async def _held(session: Session, it: Standing, seat_id: UUID, token: str, *, new: bool) -> Held:
    row = (await session.execute(_shown.where(Activation.id == seat_id))).one()
    return Held(row, token, replace(it, seat=Seat(seat_id, row.fingerprint, row.lease_expires_at, None)), new)


async def _full(session: Session, world: World, it: Standing) -> Problem:
    facts: dict[str, Fact] = {"seats": {"used": it.seats_used, "limit": it.max_seats}}
    if it.self_service:
        rows = await session.execute(_live(world.clock.now()).where(Activation.license_id == it.license_id).limit(200))
        facts["activations"] = [
            {"id": str(row.id), "fingerprint": row.fingerprint, "name": row.name, "platform": row.platform} for row in rows
        ]
    return SeatLimitReached("Release a device or buy more seats.", facts)


def _live(now: datetime) -> Any:
    return _shown.where(Activation.released_at.is_(None), or_(Activation.lease_expires_at.is_(None), Activation.lease_expires_at > now))


def _place(seat_id: UUID) -> Place:
    return Place("activations", "token_sealed", seat_id)


async def heartbeat(world: World, device: Device, activation_id: UUID) -> Held:
    """Renew the lease; a lapsed device takes its seat again if one is free (R23). Raises SeatLimitReached and the standing's own."""
    if device.activation_id != activation_id:
        raise ActivationNotFound
    now = world.clock.now()
    async with world.db.write() as session:
        await service.bump(session, license_id=device.license_id)
        parameters = standing.facts(now, license_id=device.license_id, seat_id=activation_id)
        it = await standing.standing(session, standing.BY_SEAT, parameters)
        if it is None or it.seat is None or it.seat.released_at is not None:
            raise TokenInvalid("The seat was given back; activate the device again.")
        _usable(it, None, now)
        seat = it.seat
        if not seat.live(now):
            if not rules.seat_free(it):
                raise await _full(session, world, it)
            it = replace(it, seats_used=it.seats_used + 1)
            subject = ("activation", activation_id)
            await record(session, world, "activation.taken", device.actor, subject, license=str(device.license_id))
        return await _refreshed(session, world, it, seat)


async def renew_live(session: Session, world: World, license_id: UUID, seat: Seat, lease: str | None) -> Seat | None:
    """A seat that is still live with its lease renewed, for the access decision; None when it was lost meanwhile."""
    now = world.clock.now()
    await service.bump(session, license_id=license_id)
    live = or_(Activation.lease_expires_at.is_(None), Activation.lease_expires_at > now)
    still = (Activation.id == seat.id, Activation.released_at.is_(None), live)
    until = rules.lease_end(lease, now)
    renewed = await session.execute(update(Activation).where(*still).values(last_seen_at=now, lease_expires_at=until))
    return replace(seat, lease_expires_at=until) if renewed.rowcount else None


async def release(world: World, caller: Operator | EndUser | Device | None, activation_id: UUID, key: str | None) -> None:
    """Give a seat back, in every state of the license (R3). Releasing again changes nothing. Raises ActivationNotFound."""
    now = world.clock.now()
    async with world.db.write() as session:
        seat = (await session.execute(_owner.where(Activation.id == activation_id))).one_or_none()
        if seat is None or not _may_release(world, caller, seat, activation_id, key):
            raise ActivationNotFound
        await service.bump(session, license_id=seat.license_id)
        gone = update(Activation).where(Activation.id == activation_id, Activation.released_at.is_(None)).values(released_at=now)
        if (await session.execute(gone)).rowcount:
            actor = caller.actor if caller else Actor("anonymous")
            subject = ("activation", activation_id)
            await record(session, world, "activation.released", actor, subject, seat.user_id, license=str(seat.license_id))


def _may_release(world: World, caller: Operator | EndUser | Device | None, seat: AnyRow, activation_id: UUID, key: str | None) -> bool:
    if isinstance(caller, Operator):
        caller.must("licenses:write")
        return True
    if isinstance(caller, EndUser):
        return bool(seat.user_id == caller.id)
    if isinstance(caller, Device):
        return caller.activation_id == activation_id
    return bool(key is not None and seat.self_service and key_digest(world.keys.lookup, key) == seat.key_hash)


async def holder(world: World, token: str) -> Device | None:
    """Whose activation token this is; `released` seats answer too, so that giving back twice is no error."""

    async def ask(session: Session) -> Device | None:
        found = select(Activation.id, Activation.license_id, Activation.released_at).where(Activation.token_hash == token_digest(token))
        row = (await session.execute(found)).one_or_none()
        return Device(row.id, row.license_id, row.released_at is None) if row is not None else None

    return await world.db.find(ask)


async def activations(
    world: World, window: Window, *, license_id: UUID | None, fingerprint: str | None, user_id: UUID | None, live: bool | None
) -> tuple[Sequence[AnyRow], str | None]:
    """Seats, newest first. Released ones are hidden unless `live` is False, which asks for those that are not live."""
    now = world.clock.now()
    past = or_(Activation.released_at.is_not(None), Activation.lease_expires_at <= now)
    statement = _shown.where(past) if live is False else _live(now) if live else _shown.where(Activation.released_at.is_(None))
    for column, value in ((Activation.license_id, license_id), (Activation.fingerprint, fingerprint), (Activation.user_id, user_id)):
        if value is not None:
            statement = statement.where(column == value)
    async with world.db.read() as session:
        if license_id is not None and not await service.there(session, license_id):
            raise LicenseNotFound
        return await page(session, statement, Activation.id, window)
