"""The one pure judgement of a license: facts and `now` in, every reason and warning out, in a fixed order. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from app.base.durations import Duration, instant_text
from app.base.problems import Fact, declare_advisory
from app.base.verdicts import Notice, Reason
from app.catalog.models import SeatBy
from app.catalog.rules import SEATED_BY_USER
from app.db.types import UNLIMITED, Limit

SOON = timedelta(days=14)

FEATURE_MISSING = declare_advisory("feature_missing", "The license does not include a feature that was asked for.")
IN_GRACE = declare_advisory("in_grace", "The license has expired and works for its days of grace.")
EXPIRES_SOON = declare_advisory("expires_soon", "The license expires within two weeks.")
OVER_LIMIT = declare_advisory("over_limit", "More seats are taken than the license now allows; those keep working, new ones are refused.")
LEASE_ENDING = declare_advisory("lease_ending", "Half of the device's lease is gone.")


@dataclass(frozen=True)
class Seat:
    """A row of the license's seats. `lease_expires_at` None: the seat is for ever; `released_at` set: it is past.

    `fingerprint` is empty where the seat is a user's on any device. `code_id`: the activation code that took it, if one did.
    """

    id: UUID
    fingerprint: str
    lease_expires_at: datetime | None
    released_at: datetime | None
    code_id: UUID | None = None

    def live(self, now: datetime) -> bool:
        return self.released_at is None and (self.lease_expires_at is None or now < self.lease_expires_at)


@dataclass(frozen=True)
class LicenseFacts:
    """All that the judgement of one license looks at, read by one statement; the license's overrides are already applied.

    `starts_at` None: the clock starts with the first activation. `duration` and `grace` are those frozen at issue. Where every
    user has seats of their own, `seats_used` counts those of the user who asks, and all of them when nobody does.
    """

    license_id: UUID
    product: str
    starts_at: datetime | None
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
    extra_seats: int = 0
    trial: bool = False
    duration: str | None = None
    grace: str | None = None
    offline_ttl: str | None = None
    meters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    policy_id: UUID | None = None
    user_closed: bool = False

    def status(self, now: datetime) -> str:
        """`revoked > suspended > not_started > expired > in_grace > active` (licensing R18): computed, never stored (licensing R17)."""
        return next(status for status, holds in _STATUSES if holds(self, now))

    @property
    def seat_limit(self) -> Limit | None:
        """How many live seats there may be, the tolerated extra ones among them; None where the policy has no seats."""
        return self.max_seats + self.extra_seats if isinstance(self.max_seats, int) else self.max_seats


_STATUSES: tuple[tuple[str, Callable[[LicenseFacts, datetime], bool]], ...] = (
    ("revoked", lambda it, now: it.revoked_at is not None),
    ("suspended", lambda it, now: it.suspended_at is not None),
    ("not_started", lambda it, now: it.starts_at is not None and now < it.starts_at),
    ("expired", lambda it, now: it.expires_at is not None and now >= (it.grace_until or it.expires_at)),
    ("in_grace", lambda it, now: it.expires_at is not None and now >= it.expires_at),
    ("active", lambda it, now: True),
)


@dataclass(frozen=True)
class UseRequest:
    """What the caller wants judged: which device, which features, and whether an end user asks.

    `seat`: `if_sold` asks for a live seat where the policy has seats, `always` also where it has none (then nobody can have
    one), `never` leaves seats aside.
    """

    fingerprint: str | None = None
    features: Sequence[str] = ()
    has_user: bool = False
    seat: Literal["if_sold", "always", "never"] = "if_sold"


@dataclass(frozen=True)
class Verdict:
    """Every reason against, in order, and the earliest instant at which the answer could change by itself."""

    reasons: tuple[Reason, ...]
    warnings: tuple[Notice, ...]
    check_again_at: datetime | None


def judge(it: LicenseFacts, asked: UseRequest, now: datetime) -> Verdict:
    """Everything there is to say about this license, this device and these features at this moment (licensing R1)."""
    return Verdict(reasons(it, asked, now), warnings(it, asked, now), check_again_at(it, now))


def reasons(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Reason, ...]:
    """What stands against this license on this device with these features."""
    return tuple(reason for check in (_standing, _assignment, _seat, _features) for reason in check(it, asked, now))


def license_reasons(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Reason, ...]:
    """What stands against any use of the license, whatever the device: the same on every path (licensing R2)."""
    return (*_standing(it, asked, now), *_assignment(it, asked, now))


_REFUSED: Mapping[str, tuple[str, str, str]] = {
    "revoked": ("license_revoked", "contact_seller", "The license was revoked; ask the seller."),
    "suspended": ("license_suspended", "contact_seller", "The license is suspended; ask the seller."),
    "not_started": ("license_not_started", "wait", "The license starts later."),
    "expired": ("license_expired", "renew", "The license has expired; renew it."),
}


def not_found() -> Reason:
    """No license: unknown key, malformed key and the key of another product are one answer (licensing R53)."""
    return Reason("license_not_found", "license", "enter_key", "No license of this product fits; enter a license key.")


def _standing(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Reason, ...]:
    status = it.status(now)
    if status not in _REFUSED:
        return ()
    code, action, detail = _REFUSED[status]
    moment = {"not_started": ("starts_at", it.starts_at), "expired": ("expires_at", it.expires_at)}.get(status)
    facts: dict[str, Fact] = {moment[0]: instant_text(moment[1])} if moment and moment[1] else {}
    return (Reason(code, "license", action, detail, facts),)


def _assignment(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Reason, ...]:
    personal = it.max_users is not None or it.seat_by in SEATED_BY_USER
    if personal and it.user_closed:  # whoever presents it, also by the token of a seat of theirs (licensing R7)
        return (Reason("user_disabled", "login", "contact_seller", "The end user's account is closed; ask the seller."),)
    if it.max_users is None or it.assigned:
        return ()
    action, detail = (
        ("contact_seller", "The license serves assigned users only; ask to be added.")
        if asked.has_user
        else ("log_in", "The license serves assigned users only; log in as one of them.")
    )
    return (Reason("user_not_assigned", "license", action, detail),)


def _seat(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Reason, ...]:
    if asked.seat == "never" or (it.seat_by == SeatBy.NONE and asked.seat == "if_sold"):
        return ()
    if it.seat_by == SeatBy.NONE:
        return (Reason("not_activated", "activation", "contact_seller", "The license has no seats, so no device can hold one."),)
    if it.seat is not None:
        return _held(it, it.seat, asked, now)
    if it.seat_by in SEATED_BY_USER and not asked.has_user:  # a limit for each user wants the user on the call (licensing R33)
        return (Reason("login_required", "activation", "log_in", "The license seats its users; log in."),)
    if it.seat_by != SeatBy.USER and asked.fingerprint is None:
        return (Reason("device_required", "activation", "name_device", "Send the device's fingerprint."),)
    return (_NOT_ACTIVATED,)


_NOT_ACTIVATED = Reason("not_activated", "activation", "activate", "Activate this device.")


def _held(it: LicenseFacts, seat: Seat, asked: UseRequest, now: datetime) -> tuple[Reason, ...]:
    elsewhere = it.seat_by != SeatBy.USER and asked.fingerprint not in {None, seat.fingerprint}
    if seat.released_at is not None or elsewhere:
        return (_NOT_ACTIVATED,)
    if not seat.live(now):
        return (Reason("lease_expired", "activation", "activate", "The device's lease ran out; activate it again."),)
    return ()


def _features(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Reason, ...]:
    missing: list[Fact] = [name for name in asked.features if name not in it.features]
    if not missing:
        return ()
    return (Reason(FEATURE_MISSING, "license", "upgrade", "The license lacks a feature.", {"features": missing}),)


def warnings(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Notice, ...]:
    """What does not stand in the way yet, whether or not something else does."""
    return tuple(warned for warn in (_dates, _seats, _lease) for warned in warn(it, asked, now))


def _dates(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Notice, ...]:
    status = it.status(now)
    if it.expires_at is None or status not in {"in_grace", "active"}:
        return ()
    ends: dict[str, Fact] = {"expires_at": instant_text(it.expires_at)}
    if status == "in_grace" and it.grace_until is not None:
        ends["grace_until"] = instant_text(it.grace_until)
        return (Notice(IN_GRACE, "The license has expired; renew it within its days of grace.", ends),)
    return (Notice(EXPIRES_SOON, "The license expires soon.", ends),) if it.expires_at - now <= SOON else ()


def _seats(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Notice, ...]:
    everybodys = it.seat_by == SeatBy.DEVICE_PER_USER and not asked.has_user  # the sum of all users says nothing about one's limit
    if everybodys or not isinstance(it.max_seats, int) or it.seats_used <= it.max_seats:
        return ()
    facts: dict[str, Fact] = {"used": it.seats_used, "limit": it.max_seats}
    return (Notice(OVER_LIMIT, "More seats are taken than the license allows.", facts),)


def _lease(it: LicenseFacts, asked: UseRequest, now: datetime) -> tuple[Notice, ...]:
    if it.lease is None or not is_renewal_due(it, now):
        return ()
    return (Notice(LEASE_ENDING, "The lease should be renewed."),)


def is_renewal_due(it: LicenseFacts, now: datetime) -> bool:
    """Whether half of the lease is gone, so that renewing it is worth a write (licensing R37); or the policy's lease came or went."""
    if it.seat is None or not it.seat.live(now):
        return False
    if it.seat.lease_expires_at is None or it.lease is None:
        return (it.seat.lease_expires_at is None) != (it.lease is None)
    whole = Duration.parse(it.lease).after(now) - now
    return it.seat.lease_expires_at - now <= whole / 2


def check_again_at(it: LicenseFacts, now: datetime) -> datetime | None:
    """The earliest boundary ahead: start, two weeks before expiry, expiry, end of grace, end of the lease.

    No date moves what was revoked or suspended; and before the start nobody is told that the end is near.
    """
    boundaries = [] if it.revoked_at or it.suspended_at else [it.starts_at, _soon(it), it.expires_at, it.grace_until]
    if it.seat is not None and it.seat.live(now) and it.seat.lease_expires_at is not None:
        boundaries.append(it.seat.lease_expires_at)
    return min((moment for moment in boundaries if moment is not None and moment > now), default=None)


def _soon(it: LicenseFacts) -> datetime | None:
    soon = it.expires_at - SOON if it.expires_at else None
    return None if soon and it.starts_at and soon < it.starts_at else soon


def has_free_seat(it: LicenseFacts) -> bool:
    """Whether one more live seat fits. Only true inside the transaction that bumped the license's `rev` (licensing R34)."""
    return it.seat_limit == UNLIMITED or it.seats_used < int(it.seat_limit or 0)


def compute_lease_end(lease: str | None, now: datetime) -> datetime | None:
    return Duration.parse(lease).after(now) if lease else None
