"""Seats as rows: the columns that are read, the statements that write them, and the values built from them."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, or_, select, update

from app.base.durations import instant_text
from app.base.problems import Fact, Problem
from app.catalog.models import SeatBy
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.licenses.models import Activation
from app.licenses.problems import SeatLimitReached
from app.licenses.rules import LicenseFacts, Seat
from app.observability.counters import seat_refused
from app.security.sealing import Place
from app.web.callers import Subject
from app.world import World

_activations = table(Activation)
_COLUMNS = [
    _activations.c[name]
    for name in (
        "id", "license_id", "user_id", "fingerprint", "name", "platform", "app_version", "lease_expires_at", "activated_at",
        "last_seen_at", "released_at", "release_reason",
    )
]  # fmt: skip
SEATS = select(*_COLUMNS)
INSERT_SEAT = insert(_activations).returning(*_COLUMNS)
UPDATE_SEAT = update(_activations).where(_activations.c.id == bindparam("the_id")).returning(*_COLUMNS, _activations.c.token_sealed)


@dataclass(frozen=True)
class DeviceInfo:
    """The device as its application describes it. Devices are compared by `fingerprint` alone, exactly."""

    fingerprint: str
    name: str | None = None
    platform: str | None = None
    app_version: str | None = None


@dataclass(frozen=True)
class ActiveSeat:
    """A live seat: its row, its activation token, the license with this seat counted, and whether this call took it."""

    row: AnyRow
    token: str = field(repr=False)
    license: LicenseFacts
    is_new: bool


def build_active_seat(license: LicenseFacts, row: AnyRow, token: str, *, is_new: bool) -> ActiveSeat:
    seat = Seat(row.id, row.fingerprint, row.lease_expires_at, None)
    return ActiveSeat(row, token, replace(license, seat=seat), is_new)


def select_live_seats(now: datetime) -> Any:
    lease = _activations.c.lease_expires_at
    return SEATS.where(_activations.c.released_at.is_(None), or_(lease.is_(None), lease > now))


def build_token_place(seat_id: UUID) -> Place:
    """Build the place (table, column, row) that an encrypted activation token is bound to."""
    return Place("activations", "token_sealed", seat_id)


async def build_limit_problem(tx: Transaction, world: World, license: LicenseFacts, subject: Subject | None) -> Problem:
    """Build SeatLimitReached; it lists the occupied seats if the policy lets the user release them."""
    seat_refused.inc()
    facts: dict[str, Fact] = {"seats": {"used": license.seats_used, "limit": license.seat_limit}}
    if license.self_service:
        occupied = select_live_seats(world.clock.now()).where(_activations.c.license_id == license.license_id)
        if license.seat_by == SeatBy.DEVICE_PER_USER and subject is not None:
            occupied = occupied.where(_activations.c.user_key == str(subject.id))
        rows = await tx.execute(occupied.order_by(_activations.c.id.desc()).limit(200))
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
