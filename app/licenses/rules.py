"""Evaluate a license from its facts and the current time. Returns every reason and warning in a fixed order. Pure, no I/O."""

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

EXPIRES_SOON_PERIOD = timedelta(days=14)

FEATURE_MISSING = declare_advisory("feature_missing", "The license does not include a requested feature.")
IN_GRACE = declare_advisory("in_grace", "The license has expired and still works during its grace period.")
EXPIRES_SOON = declare_advisory("expires_soon", "The license expires within two weeks.")
OVER_LIMIT = declare_advisory("over_limit", "More seats are taken than the license allows. They keep working; new ones are refused.")
LEASE_ENDING = declare_advisory("lease_ending", "Half of the device's lease has passed.")


@dataclass(frozen=True)
class Seat:
    """One seat of the license. `lease_expires_at` None: it never expires; `released_at` set: the seat is no longer in use.

    `fingerprint` is empty where the seat belongs to a user on any device. `code_id`: the activation code that took the seat, if any.
    """

    id: UUID
    fingerprint: str
    lease_expires_at: datetime | None
    released_at: datetime | None
    code_id: UUID | None = None

    def is_live(self, now: datetime) -> bool:
        return self.released_at is None and (self.lease_expires_at is None or now < self.lease_expires_at)


@dataclass(frozen=True)
class LicenseFacts:
    """All facts about one license, read by one statement; the license's overrides are already applied.

    `starts_at` None: the clock starts with the first activation. `duration` and `grace` are frozen at issue; they, `lease` and
    `offline_ttl` are ISO 8601 durations. If the seat limit is per user, `seats_used` counts the seats of the calling user, or of all
    users when the caller is not logged in.
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
        return next(status for status, applies in _STATUSES if applies(self, now))

    @property
    def seat_limit(self) -> Limit | None:
        """The maximum of live seats, including the tolerated extra ones; None where the policy has no seats."""
        return self.max_seats + self.extra_seats if isinstance(self.max_seats, int) else self.max_seats


_STATUSES: tuple[tuple[str, Callable[[LicenseFacts, datetime], bool]], ...] = (
    ("revoked", lambda license, now: license.revoked_at is not None),
    ("suspended", lambda license, now: license.suspended_at is not None),
    ("not_started", lambda license, now: license.starts_at is not None and now < license.starts_at),
    ("expired", lambda license, now: license.expires_at is not None and now >= (license.grace_until or license.expires_at)),
    ("in_grace", lambda license, now: license.expires_at is not None and now >= license.expires_at),
    ("active", lambda license, now: True),
)


@dataclass(frozen=True)
class UseRequest:
    """The intended use of a license: the device, the features, and whether an end user is logged in.

    `seat`: `by_policy` requires a live seat where the policy has seats, `always` also where it has none (which then fails),
    `never` ignores seats.
    """

    fingerprint: str | None = None
    features: Sequence[str] = ()
    has_user: bool = False
    seat: Literal["by_policy", "always", "never"] = "by_policy"


@dataclass(frozen=True)
class Verdict:
    """Every reason against the use, in order, and the earliest time at which the verdict can change without a write."""

    reasons: tuple[Reason, ...]
    warnings: tuple[Notice, ...]
    check_again_at: datetime | None


def evaluate(license: LicenseFacts, use: UseRequest, now: datetime) -> Verdict:
    """Collect every reason and warning for this license, device and features at this time (licensing R1)."""
    return Verdict(find_reasons(license, use, now), find_warnings(license, use, now), find_next_change(license, now))


def find_reasons(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Reason, ...]:
    """Collect the reasons against this use: status, assignment, seat, features."""
    return tuple(reason for check in (_check_status, _check_user, _check_seat, _check_features) for reason in check(license, use, now))


def find_license_reasons(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Reason, ...]:
    """Collect the reasons against any use of the license on any device, the same on every path (licensing R2)."""
    return (*_check_status(license, use, now), *_check_user(license, use, now))


LICENSE_NOT_FOUND = Reason(
    "license_not_found", "license", "enter_key", "No license of this product matches; enter another license key or log in."
)
"""An unknown key, a malformed key and the key of another product get one answer (licensing R53)."""

_BAD_STATUS: Mapping[str, tuple[str, str, str]] = {
    "revoked": ("license_revoked", "contact_seller", "The license was revoked; contact the seller."),
    "suspended": ("license_suspended", "contact_seller", "The license is suspended; contact the seller."),
    "not_started": ("license_not_started", "wait", "The license is not valid yet."),
    "expired": ("license_expired", "renew", "The license has expired; renew it."),
}


def _check_status(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Reason, ...]:
    status = license.status(now)
    if status not in _BAD_STATUS:
        return ()
    code, action, detail = _BAD_STATUS[status]
    date = {"not_started": ("starts_at", license.starts_at), "expired": ("expires_at", license.expires_at)}.get(status)
    facts: dict[str, Fact] = {date[0]: instant_text(date[1])} if date and date[1] else {}
    return (Reason(code, "license", action, detail, facts),)


def _check_user(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Reason, ...]:
    personal = license.max_users is not None or license.seat_by in SEATED_BY_USER
    if personal and license.user_closed:  # also when a seat of the user is presented by its activation token (licensing R7)
        return (Reason("user_disabled", "login", "contact_seller", "The end user's account is suspended or erased; contact the seller."),)
    if license.max_users is None or license.assigned:
        return ()
    action, detail = (
        ("contact_seller", "The license is for assigned users only; ask the seller to assign this user.")
        if use.has_user
        else ("log_in", "The license is for assigned users only; log in as an assigned user.")
    )
    return (Reason("user_not_assigned", "license", action, detail),)


def _check_seat(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Reason, ...]:
    if use.seat == "never" or (license.seat_by == SeatBy.NONE and use.seat == "by_policy"):
        return ()
    if license.seat_by == SeatBy.NONE:
        return (
            Reason(
                "not_activated",
                "activation",
                "contact_seller",
                "The product requires a seat, but the license has none; contact the seller.",
            ),
        )
    if license.seat is not None:
        return _check_own_seat(license, license.seat, use, now)
    if license.seat_by in SEATED_BY_USER and not use.has_user:  # a limit per user needs the user (licensing R33)
        return (
            Reason(
                "login_required", "activation", "log_in", "The seats of this license belong to users; log in and send the access token."
            ),
        )
    if license.seat_by != SeatBy.USER and use.fingerprint is None:
        return (Reason("device_required", "activation", "name_device", "Send `device` with its fingerprint."),)
    return (_NOT_ACTIVATED,)


_NOT_ACTIVATED = Reason("not_activated", "activation", "activate", "Activate this device to take a seat.")


def _check_own_seat(license: LicenseFacts, seat: Seat, use: UseRequest, now: datetime) -> tuple[Reason, ...]:
    is_other_device = license.seat_by != SeatBy.USER and use.fingerprint not in {None, seat.fingerprint}
    if seat.released_at is not None or is_other_device:
        return (_NOT_ACTIVATED,)
    if not seat.is_live(now):
        return (Reason("lease_expired", "activation", "activate", "The device's lease has expired; activate the device again."),)
    return ()


def _check_features(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Reason, ...]:
    missing: list[Fact] = [name for name in use.features if name not in license.features]
    if not missing:
        return ()
    return (Reason(FEATURE_MISSING, "license", "upgrade", "The license does not include the requested `features`.", {"features": missing}),)


def find_warnings(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Notice, ...]:
    """Collect the warnings, whether or not there is also a reason to refuse."""
    return tuple(warning for check in (_warn_dates, _warn_seats, _warn_lease) for warning in check(license, use, now))


def _warn_dates(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Notice, ...]:
    status = license.status(now)
    if license.expires_at is None or status not in {"in_grace", "active"}:
        return ()
    dates: dict[str, Fact] = {"expires_at": instant_text(license.expires_at)}
    if status == "in_grace" and license.grace_until is not None:
        dates["grace_until"] = instant_text(license.grace_until)
        return (Notice(IN_GRACE, "The license has expired; renew it before its grace period ends.", dates),)
    return (
        (Notice(EXPIRES_SOON, "The license expires within two weeks; renew it.", dates),)
        if license.expires_at - now <= EXPIRES_SOON_PERIOD
        else ()
    )


def _warn_seats(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Notice, ...]:
    counts_all_users = license.seat_by == SeatBy.DEVICE_PER_USER and not use.has_user  # the sum cannot be compared with a limit per user
    if counts_all_users or not isinstance(license.max_seats, int) or license.seats_used <= license.max_seats:
        return ()
    facts: dict[str, Fact] = {"used": license.seats_used, "limit": license.max_seats}
    return (Notice(OVER_LIMIT, "More seats are taken than the license allows; release some.", facts),)


def _warn_lease(license: LicenseFacts, use: UseRequest, now: datetime) -> tuple[Notice, ...]:
    if license.lease is None or not is_renewal_due(license, now):
        return ()
    return (Notice(LEASE_ENDING, "Half of the lease has passed; send a heartbeat."),)


def is_renewal_due(license: LicenseFacts, now: datetime) -> bool:
    """Whether half of the lease has passed, which makes renewing worth a write (licensing R37), or the policy gained or lost its lease."""
    if license.seat is None or not license.seat.is_live(now):
        return False
    if license.seat.lease_expires_at is None or license.lease is None:
        return (license.seat.lease_expires_at is None) != (license.lease is None)
    length = Duration.parse(license.lease).after(now) - now
    return license.seat.lease_expires_at - now <= length / 2


def find_next_change(license: LicenseFacts, now: datetime) -> datetime | None:
    """Return the earliest future time of: start, two weeks before expiry, expiry, end of grace, end of the lease.

    A revoked or suspended license does not change with time, and before the start there is no warning about the end.
    """
    dates = [license.starts_at, _find_warning_start(license), license.expires_at, license.grace_until]
    if license.revoked_at or license.suspended_at:
        dates = []
    if license.seat is not None and license.seat.is_live(now) and license.seat.lease_expires_at is not None:
        dates.append(license.seat.lease_expires_at)
    return min((date for date in dates if date is not None and date > now), default=None)


def _find_warning_start(license: LicenseFacts) -> datetime | None:
    soon = license.expires_at - EXPIRES_SOON_PERIOD if license.expires_at else None
    return None if soon and license.starts_at and soon < license.starts_at else soon


def has_free_seat(license: LicenseFacts) -> bool:
    """Whether one more live seat fits. Reliable only in the transaction that locked the license (licensing R34)."""
    return license.seat_limit == UNLIMITED or license.seats_used < int(license.seat_limit or 0)


def compute_lease_end(lease: str | None, now: datetime) -> datetime | None:
    return Duration.parse(lease).after(now) if lease else None
