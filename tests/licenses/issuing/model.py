"""A model of a license in plain Python: no database, no locks, no HTTP. The service is compared with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

DURATIONS = {"PT30M": timedelta(minutes=30), "PT2H": timedelta(hours=2), "P30D": timedelta(days=30), "P10D": timedelta(days=10)}
DURATIONS |= {"P3D": timedelta(days=3), "P2D": timedelta(days=2)}
BY_USER = {"user", "device_per_user"}
FULL = "409 seat_limit_reached"
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Terms:
    """The terms of a policy."""

    seat_by: str = "none"
    max_seats: int | str | None = None
    extra_seats: int = 0
    lease: str | None = None
    duration: str | None = None
    grace: str | None = None
    starts: str = "issue"
    meters: Changes = field(default_factory=dict)

    def contradicts(self, changes: Changes) -> bool:
        terms = replace(self, **{name: value for name, value in changes.items() if name != "meters"})
        if terms.seat_by == "none":
            return terms.max_seats is not None or bool(terms.lease or terms.extra_seats)
        return terms.max_seats is None or (terms.seat_by == "session" and terms.lease is None)


POLICIES = (
    Terms("device", 2, lease="PT30M", duration="P30D", grace="P3D", meters={"exports": {"limit": 3, "per": "day"}}),
    Terms("device", 1, extra_seats=1, starts="first_activation", duration="P10D", grace="P2D"),
    Terms("session", 2, lease="PT30M", meters={"exports": {"limit": 5, "per": "month"}}),
    Terms("device_per_user", 1, lease="PT2H", duration="P30D"),
    Terms("user", 1, starts="first_activation", duration="P30D", meters={"exports": {"limit": "unlimited", "per": None}}),
    Terms(duration="P10D", meters={"exports": {"limit": 3, "per": None}}),
    Terms("device", "unlimited"),
)


@dataclass
class Seat:
    """A seat. `own` distinguishes seats of one device. `token` is the valid one; `id` never changes."""

    fingerprint: str
    own: object
    id: str = ""
    token: str = ""
    ends: datetime | None = None
    released: bool = False

    def is_live(self, now: datetime) -> bool:
        return not self.released and (self.ends is None or now < self.ends)


class LicenseModel:
    """A license. Every method returns the status and code that the service must respond with."""

    def __init__(self, terms: Terms, now: datetime) -> None:
        self.terms, self.seats = terms, list[Seat]()
        self.duration, self.grace = terms.duration, terms.grace
        self.overrides: Changes = {}
        self.amounts: dict[tuple[str | None, datetime], int] = {}
        self.suspended = self.revoked = False
        self.starts = self.expires = self.grace_until = None
        if terms.starts == "issue":
            self.start(now)

    starts: datetime | None
    expires: datetime | None
    grace_until: datetime | None

    def start(self, now: datetime) -> None:
        self.starts = now
        self.set_expiry(now + DURATIONS[self.duration] if self.duration else None)

    def set_expiry(self, expires: datetime | None) -> None:
        self.expires = expires
        self.grace_until = expires + DURATIONS[self.grace] if expires and self.grace else None

    def status(self, now: datetime) -> str:
        if self.revoked or self.suspended:
            return "revoked" if self.revoked else "suspended"
        if self.expires is None or now < self.expires:
            return "active"
        return "in_grace" if self.grace_until is not None and now < self.grace_until else "expired"

    def refusal(self, now: datetime) -> str | None:
        status = self.status(now)
        return None if status in {"active", "in_grace"} else f"license_{status}"

    @property
    def max_seats(self) -> int | str | None:
        limit: int | str | None = self.overrides.get("max_seats", self.terms.max_seats)
        return limit

    @property
    def limit(self) -> int | str | None:
        extra = self.overrides.get("extra_seats", self.terms.extra_seats)
        return self.max_seats + extra if isinstance(self.max_seats, int) else self.max_seats

    @property
    def lease(self) -> str | None:
        lease: str | None = self.overrides.get("lease", self.terms.lease)
        return lease

    def live_seats(self, now: datetime) -> list[Seat]:
        return [seat for seat in self.seats if seat.is_live(now)]

    def count_used(self, now: datetime, own: object = None) -> int:
        """Count the live seats; where the limit is per user, only those of the user."""
        per_user = self.terms.seat_by == "device_per_user" and own is not None
        return sum(not per_user or seat.own == own for seat in self.live_seats(now))

    def seat_of(self, fingerprint: str, user: str | None) -> Seat | None:
        if self.terms.seat_by == "session":
            return max(
                (seat for seat in self.seats if seat.fingerprint == fingerprint and isinstance(seat.own, int)), key=_newest, default=None
            )
        key = ("" if self.terms.seat_by == "user" else fingerprint, user if self.terms.seat_by in BY_USER else "")
        return next((seat for seat in self.seats if (seat.fingerprint, seat.own) == key), None)

    def activate(self, now: datetime, fingerprint: str, user: str | None) -> tuple[str, Seat | None]:
        refused = self.refusal(now)
        if refused or self.terms.seat_by == "none":
            return (f"403 {refused}" if refused else "409 seats_not_used"), None
        if self.terms.seat_by in BY_USER and user is None:
            return "401 login_required", None
        process = self.terms.seat_by == "session"
        seat = None if process else self.seat_of(fingerprint, user)
        if seat is not None and seat.is_live(now):
            self.renew_lease(seat, now)
            return "200", seat
        if not self.has_free_seat(now, user):
            return FULL, None
        if self.starts is None:
            self.start(now)
        if process:
            self.release_lapsed(now)
        if seat is None:
            own: object = len(self.seats) if process else user if self.terms.seat_by in BY_USER else ""
            self.seats.append(seat := Seat("" if self.terms.seat_by == "user" else fingerprint, own))
        seat.released = False
        self.renew_lease(seat, now)
        return "201", seat

    def release_lapsed(self, now: datetime) -> None:
        for seat in self.seats:
            seat.released = seat.released or (seat.ends is not None and seat.ends <= now - timedelta(days=1))

    def has_free_seat(self, now: datetime, own: object) -> bool:
        return not isinstance(self.limit, int) or self.count_used(now, own) < self.limit

    def renew_lease(self, seat: Seat, now: datetime) -> None:
        seat.ends = now + DURATIONS[self.lease] if self.lease else None

    def heartbeat(self, now: datetime, seat: Seat) -> str:
        if seat.released:
            return "401 token_invalid"
        if refused := self.refusal(now):
            return f"403 {refused}"
        if not seat.is_live(now) and not self.has_free_seat(now, seat.own):
            return FULL
        self.renew_lease(seat, now)
        return "200"

    def meter(self) -> Changes | None:
        rule: Changes | None = {**self.terms.meters, **self.overrides.get("meters", {})}.get("exports")
        return rule

    def used_now(self, now: datetime, rule: Changes) -> int:
        return self.amounts.get((rule["per"], period(rule["per"], now)), 0)

    def add(self, now: datetime, amount: int) -> str:
        if refused := self.refusal(now):
            return f"403 {refused}"
        if self.terms.seat_by in BY_USER:
            return "401 login_required"
        if self.starts is None:
            return "403 not_activated"
        if (rule := self.meter()) is None:
            return "404 meter_not_found"
        used = self.used_now(now, rule)
        if amount and isinstance(rule["limit"], int) and used + amount > rule["limit"]:
            return "409 usage_limit_reached"
        self.amounts[rule["per"], period(rule["per"], now)] = used + amount
        return "200"

    def reasons(self, now: datetime, fingerprint: str, user: str | None) -> list[str]:
        refused = self.refusal(now)
        reasons = [refused] if refused else []
        if self.terms.seat_by == "none":
            return reasons
        seat = self.seat_of(fingerprint, user)
        if seat is None and self.terms.seat_by in BY_USER and user is None:
            return [*reasons, "login_required"]
        if seat is None or seat.released:
            return [*reasons, "not_activated"]
        return reasons if seat.is_live(now) else [*reasons, "lease_expired"]

    def warnings(self, now: datetime, fingerprint: str, user: str | None) -> list[str]:
        warnings = []
        if self.status(now) == "in_grace":
            warnings.append("in_grace")
        elif self.status(now) == "active" and self.expires and self.expires - now <= timedelta(days=14):
            warnings.append("expires_soon")
        counts_all_users = self.terms.seat_by == "device_per_user" and user is None
        if not counts_all_users and isinstance(self.max_seats, int) and self.count_used(now, user) > self.max_seats:
            warnings.append("over_limit")
        seat = self.seat_of(fingerprint, user)
        return [*warnings, "lease_ending"] if seat is not None and self.lease_ending(now, seat) else warnings

    def lease_ending(self, now: datetime, seat: Seat) -> bool:
        if self.lease is None or not seat.is_live(now):
            return False
        return seat.ends is None or seat.ends - now <= DURATIONS[self.lease] / 2

    def renew(self, now: datetime, until: datetime | None) -> str:
        if self.revoked or self.starts is None:
            return "403 license_revoked" if self.revoked else "409 license_clock_not_started"
        if self.expires is None or (until is None and self.terms.duration is None):
            return "409 license_not_renewable"
        is_over = now >= (self.grace_until or self.expires)
        expires = until or (now if is_over else self.expires) + DURATIONS[str(self.terms.duration)]
        if until is None and expires <= now:
            expires = now + DURATIONS[str(self.terms.duration)]
        if expires <= self.starts:
            return "422 license_dates_impossible"
        if expires != self.expires:
            self.duration, self.grace = self.terms.duration, self.terms.grace
            self.set_expiry(expires)
        return "200"

    def change_policy(self, now: datetime, terms: Terms, *, reset: bool) -> str:
        if self.revoked:
            return "403 license_revoked"
        if terms.contradicts(self.overrides):
            return "422 policy_contradiction"
        if terms.seat_by != self.terms.seat_by:
            for seat in self.seats:
                seat.released = True
        self.terms = terms
        if reset or (self.starts is None and terms.starts == "issue"):
            self.duration, self.grace = terms.duration, terms.grace
            self.starts = self.expires = self.grace_until = None
            if terms.starts == "issue" or not all(seat.released for seat in self.seats):
                self.start(now)
        return "200"


def _newest(seat: Seat) -> tuple[bool, datetime]:
    return not seat.released, seat.ends or datetime.max.replace(tzinfo=UTC)


def period(per: str | None, now: datetime) -> datetime:
    if per is None:
        return datetime(1970, 1, 1, tzinfo=UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1) if per == "month" else day
