"""The one pure judgement of a license: facts and `now` in, every reason and warning out, in a fixed order. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from app.base.durations import Duration, instant_text
from app.base.problems import Fact, advisory
from app.base.verdicts import Reason, Warned
from app.catalog.models import SeatBy
from app.db.types import UNLIMITED, Limit

SOON = timedelta(days=14)

NOT_ACTIVATED = advisory("not_activated", "This device holds no seat of the license.")
LEASE_EXPIRED = advisory("lease_expired", "This device's lease has run out; activate again to take a free seat.")
FEATURE_MISSING = advisory("feature_missing", "The license does not include a feature that was asked for.")
IN_GRACE = advisory("in_grace", "The license has expired and works for its days of grace.")
EXPIRES_SOON = advisory("expires_soon", "The license expires within two weeks.")
OVER_LIMIT = advisory("over_limit", "More seats are taken than the license now allows; those keep working, new ones are refused.")
LEASE_ENDING = advisory("lease_ending", "Half of the device's lease is gone.")


@dataclass(frozen=True)
class Seat:
    """A device's row of the license. `lease_expires_at` None: the seat is for ever; `released_at` set: it is past.

    `code_id` is the activation code that took the seat, if one did.
    """

    id: UUID
    fingerprint: str
    lease_expires_at: datetime | None
    released_at: datetime | None
    code_id: UUID | None = None

    def live(self, now: datetime) -> bool:
        return self.released_at is None and (self.lease_expires_at is None or now < self.lease_expires_at)


@dataclass(frozen=True)
class Standing:
    """All that the judgement of one license looks at, read by one statement."""

    license_id: UUID
    product: str
    starts_at: datetime
    expires_at: datetime | None
    grace_until: datetime | None
    suspended_at: datetime | None
    revoked_at: datetime | None
    seat_by: str
    max_seats: Limit | None
    lease: str | None
    max_users: Limit | None
    features: Mapping[str, Any]
    requires: tuple[str, ...]
    self_service: bool
    seats_used: int
    assigned: bool
    seat: Seat | None
    key_last4: str = ""

    def status(self, now: datetime) -> str:
        """`revoked > suspended > not_started > expired > in_grace > active` (R18): computed, never stored (R17)."""
        return next(status for status, holds in _STATUSES if holds(self, now))


_STATUSES: tuple[tuple[str, Callable[[Standing, datetime], bool]], ...] = (
    ("revoked", lambda it, now: it.revoked_at is not None),
    ("suspended", lambda it, now: it.suspended_at is not None),
    ("not_started", lambda it, now: now < it.starts_at),
    ("expired", lambda it, now: it.expires_at is not None and now >= (it.grace_until or it.expires_at)),
    ("in_grace", lambda it, now: it.expires_at is not None and now >= it.expires_at),
    ("active", lambda it, now: True),
)


@dataclass(frozen=True)
class Asked:
    """What the caller wants judged: which device, which features, and whether an end user asks.

    `seat`: `if_sold` asks for a live seat where the policy has seats, `always` also where it has none (then nobody can have
    one), `never` leaves seats aside.
    """

    fingerprint: str | None = None
    features: Sequence[str] = ()
    user: bool = False
    seat: Literal["if_sold", "always", "never"] = "if_sold"


@dataclass(frozen=True)
class Verdict:
    """Every reason against, in order, and the earliest instant at which the answer could change by itself."""

    reasons: tuple[Reason, ...]
    warnings: tuple[Warned, ...]
    check_again_at: datetime | None


def judge(it: Standing, asked: Asked, now: datetime) -> Verdict:
    """Everything there is to say about this license, this device and these features at this moment (R1)."""
    checks = (_standing, _assignment, _device, _features)
    reasons = tuple(reason for check in checks for reason in check(it, asked, now))
    return Verdict(reasons, tuple(_warnings(it, now)), check_again_at(it, now))


def license_reasons(it: Standing, asked: Asked, now: datetime) -> tuple[Reason, ...]:
    """What stands against any use of the license, whatever the device: the same on every path (R2)."""
    return (*_standing(it, asked, now), *_assignment(it, asked, now))


_REFUSED: Mapping[str, tuple[str, str, str]] = {
    "revoked": ("license_revoked", "contact_seller", "The license was revoked; ask the seller."),
    "suspended": ("license_suspended", "contact_seller", "The license is suspended; ask the seller."),
    "not_started": ("license_not_started", "wait", "The license starts later."),
    "expired": ("license_expired", "renew", "The license has expired; renew it."),
}


def not_found() -> Reason:
    """No license: unknown key, malformed key and the key of another product are one answer (R53)."""
    return Reason("license_not_found", "license", "enter_key", "No license of this product fits; enter a license key.")


def _standing(it: Standing, asked: Asked, now: datetime) -> tuple[Reason, ...]:
    status = it.status(now)
    if status not in _REFUSED:
        return ()
    code, action, detail = _REFUSED[status]
    moment = {"not_started": ("starts_at", it.starts_at), "expired": ("expires_at", it.expires_at)}.get(status)
    facts: dict[str, Fact] = {moment[0]: instant_text(moment[1])} if moment and moment[1] else {}
    return (Reason(code, "license", action, detail, facts),)


def _assignment(it: Standing, asked: Asked, now: datetime) -> tuple[Reason, ...]:
    if it.max_users is None or it.assigned:
        return ()
    action, detail = (
        ("contact_seller", "The license serves assigned users only; ask to be added.")
        if asked.user
        else ("log_in", "The license serves assigned users only; log in as one of them.")
    )
    return (Reason("user_not_assigned", "license", action, detail),)


def _device(it: Standing, asked: Asked, now: datetime) -> tuple[Reason, ...]:
    if asked.seat == "never" or (it.seat_by == SeatBy.NONE and asked.seat == "if_sold"):
        return ()
    if it.seat_by == SeatBy.NONE:
        return (Reason(NOT_ACTIVATED, "activation", "contact_seller", "The license has no seats, so no device can hold one."),)
    if asked.fingerprint is None and it.seat is None:
        return (Reason("device_required", "activation", "name_device", "Send the device's fingerprint."),)
    if it.seat is None or it.seat.released_at is not None or asked.fingerprint not in {None, it.seat.fingerprint}:
        return (Reason(NOT_ACTIVATED, "activation", "activate", "Activate this device."),)
    if not it.seat.live(now):
        return (Reason(LEASE_EXPIRED, "activation", "activate", "The device's lease ran out; activate it again."),)
    return ()


def _features(it: Standing, asked: Asked, now: datetime) -> tuple[Reason, ...]:
    missing: list[Fact] = [name for name in asked.features if name not in it.features]
    if not missing:
        return ()
    return (Reason(FEATURE_MISSING, "license", "upgrade", "The license lacks a feature.", {"features": missing}),)


def _warnings(it: Standing, now: datetime) -> list[Warned]:
    told = []
    status = it.status(now)
    if status == "in_grace":
        told.append(Warned(IN_GRACE, "The license has expired; renew it within its days of grace."))
    if status == "active" and it.expires_at is not None and it.expires_at - now <= SOON:
        told.append(Warned(EXPIRES_SOON, "The license expires soon."))
    if it.max_seats not in {None, UNLIMITED} and it.seats_used > int(it.max_seats or 0):
        told.append(Warned(OVER_LIMIT, "More devices hold seats than the license allows.", {"used": it.seats_used, "limit": it.max_seats}))
    if it.lease is not None and renewal_due(it, now):
        told.append(Warned(LEASE_ENDING, "The lease should be renewed."))
    return told


def renewal_due(it: Standing, now: datetime) -> bool:
    """Whether half of the lease is gone, so that renewing it is worth a write (R37); or the policy's lease came or went."""
    if it.seat is None or not it.seat.live(now):
        return False
    if it.seat.lease_expires_at is None or it.lease is None:
        return (it.seat.lease_expires_at is None) != (it.lease is None)
    whole = Duration.parse(it.lease).after(now) - now
    return it.seat.lease_expires_at - now <= whole / 2


def check_again_at(it: Standing, now: datetime) -> datetime | None:
    """The earliest boundary ahead: start, two weeks before expiry, expiry, end of grace, end of the lease."""
    soon = it.expires_at - SOON if it.expires_at else None
    boundaries = [it.starts_at, soon, it.expires_at, it.grace_until]
    if it.seat is not None and it.seat.live(now) and it.seat.lease_expires_at is not None:
        boundaries.append(it.seat.lease_expires_at)
    return min((moment for moment in boundaries if moment is not None and moment > now), default=None)


def seat_free(it: Standing) -> bool:
    """Whether one more live seat fits. Only true inside the transaction that bumped the license's `rev` (R34)."""
    return it.max_seats == UNLIMITED or it.seats_used < int(it.max_seats or 0)


def lease_end(lease: str | None, now: datetime) -> datetime | None:
    return Duration.parse(lease).after(now) if lease else None
