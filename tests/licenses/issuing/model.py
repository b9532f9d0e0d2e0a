"""A license as a few lines of plain Python think of it: no database, no locks, no HTTP. What the service is held against."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

SPANS = {"PT30M": timedelta(minutes=30), "PT2H": timedelta(hours=2), "P30D": timedelta(days=30), "P10D": timedelta(days=10)}
SPANS |= {"P3D": timedelta(days=3), "P2D": timedelta(days=2)}
BY_USER = {"user", "device_per_user"}
FULL = "409 seat_limit_reached"
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Terms:
    """A policy."""

    seat_by: str = "none"
    max_seats: int | str | None = None
    extra_seats: int = 0
    lease: str | None = None
    duration: str | None = None
    grace: str | None = None
    starts: str = "issue"
    meters: Changes = field(default_factory=dict)

    def contradiction(self, changes: Changes) -> bool:
        it = replace(self, **{name: value for name, value in changes.items() if name != "meters"})
        if it.seat_by == "none":
            return it.max_seats is not None or bool(it.lease or it.extra_seats)
        return it.max_seats is None or (it.seat_by == "session" and it.lease is None)


SOLD = (
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
    """`own`: what tells seats of one device apart. `token` is the one that works; `id` stays for ever."""

    fingerprint: str
    own: object
    id: str = ""
    token: str = ""
    ends: datetime | None = None
    released: bool = False

    def live(self, now: datetime) -> bool:
        return not self.released and (self.ends is None or now < self.ends)


class Grant:
    """A license. Every use tells the status and code that the service must answer with."""

    def __init__(self, terms: Terms, now: datetime) -> None:
        self.terms, self.seats = terms, list[Seat]()
        self.duration, self.grace = terms.duration, terms.grace
        self.overrides: Changes = {}
        self.counted: dict[tuple[str | None, datetime], int] = {}
        self.suspended = self.revoked = False
        self.starts = self.expires = self.graced = None
        if terms.starts == "issue":
            self.start(now)

    starts: datetime | None
    expires: datetime | None
    graced: datetime | None

    def start(self, now: datetime) -> None:
        self.starts = now
        self.until(now + SPANS[self.duration] if self.duration else None)

    def until(self, expires: datetime | None) -> None:
        self.expires = expires
        self.graced = expires + SPANS[self.grace] if expires and self.grace else None

    def status(self, now: datetime) -> str:
        if self.revoked or self.suspended:
            return "revoked" if self.revoked else "suspended"
        if self.expires is None or now < self.expires:
            return "active"
        return "in_grace" if self.graced is not None and now < self.graced else "expired"

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

    def live(self, now: datetime) -> list[Seat]:
        return [seat for seat in self.seats if seat.live(now)]

    def used(self, now: datetime, own: object = None) -> int:
        """Where every user has seats of their own, those of the user who asks."""
        mine = self.terms.seat_by == "device_per_user" and own is not None
        return sum(not mine or seat.own == own for seat in self.live(now))

    def seat_of(self, fingerprint: str, user: str | None) -> Seat | None:
        if self.terms.seat_by == "session":
            return max((it for it in self.seats if it.fingerprint == fingerprint and isinstance(it.own, int)), key=_newest, default=None)
        wanted = ("" if self.terms.seat_by == "user" else fingerprint, user if self.terms.seat_by in BY_USER else "")
        return next((it for it in self.seats if (it.fingerprint, it.own) == wanted), None)

    def activate(self, now: datetime, fingerprint: str, user: str | None) -> tuple[str, Seat | None]:
        refused = self.refusal(now)
        if refused or self.terms.seat_by == "none":
            return (f"403 {refused}" if refused else "409 seats_not_used"), None
        if self.terms.seat_by in BY_USER and user is None:
            return "401 login_required", None
        process = self.terms.seat_by == "session"
        seat = None if process else self.seat_of(fingerprint, user)
        if seat is not None and seat.live(now):
            self.renew_lease(seat, now)
            return "200", seat
        if not self.free(now, user):
            return FULL, None
        if self.starts is None:
            self.start(now)
        if process:
            self.bury(now)
        if seat is None:
            own: object = len(self.seats) if process else user if self.terms.seat_by in BY_USER else ""
            self.seats.append(seat := Seat("" if self.terms.seat_by == "user" else fingerprint, own))
        seat.released = False
        self.renew_lease(seat, now)
        return "201", seat

    def bury(self, now: datetime) -> None:
        for seat in self.seats:
            seat.released = seat.released or (seat.ends is not None and seat.ends <= now - timedelta(days=1))

    def free(self, now: datetime, own: object) -> bool:
        return not isinstance(self.limit, int) or self.used(now, own) < self.limit

    def renew_lease(self, seat: Seat, now: datetime) -> None:
        seat.ends = now + SPANS[self.lease] if self.lease else None

    def heartbeat(self, now: datetime, seat: Seat) -> str:
        if seat.released:
            return "401 token_invalid"
        if refused := self.refusal(now):
            return f"403 {refused}"
        if not seat.live(now) and not self.free(now, seat.own):
            return FULL
        self.renew_lease(seat, now)
        return "200"

    def meter(self) -> Changes | None:
        rule: Changes | None = {**self.terms.meters, **self.overrides.get("meters", {})}.get("exports")
        return rule

    def counted_now(self, now: datetime, rule: Changes) -> int:
        return self.counted.get((rule["per"], period(rule["per"], now)), 0)

    def add(self, now: datetime, amount: int) -> str:
        if refused := self.refusal(now):
            return f"403 {refused}"
        if self.terms.seat_by in BY_USER:
            return "401 login_required"
        if self.starts is None:
            return "403 not_activated"
        if (rule := self.meter()) is None:
            return "404 meter_not_found"
        used = self.counted_now(now, rule)
        if amount and isinstance(rule["limit"], int) and used + amount > rule["limit"]:
            return "409 usage_limit_reached"
        self.counted[rule["per"], period(rule["per"], now)] = used + amount
        return "200"

    def reasons(self, now: datetime, fingerprint: str, user: str | None) -> list[str]:
        refused = self.refusal(now)
        told = [refused] if refused else []
        if self.terms.seat_by == "none":
            return told
        seat = self.seat_of(fingerprint, user)
        if seat is None and self.terms.seat_by in BY_USER and user is None:
            return [*told, "login_required"]
        if seat is None or seat.released:
            return [*told, "not_activated"]
        return told if seat.live(now) else [*told, "lease_expired"]

    def warnings(self, now: datetime, fingerprint: str, user: str | None) -> list[str]:
        told = []
        if self.status(now) == "in_grace":
            told.append("in_grace")
        elif self.status(now) == "active" and self.expires and self.expires - now <= timedelta(days=14):
            told.append("expires_soon")
        everybodys = self.terms.seat_by == "device_per_user" and user is None
        if not everybodys and isinstance(self.max_seats, int) and self.used(now, user) > self.max_seats:
            told.append("over_limit")
        seat = self.seat_of(fingerprint, user)
        return [*told, "lease_ending"] if seat is not None and self.lease_ending(now, seat) else told

    def lease_ending(self, now: datetime, seat: Seat) -> bool:
        if self.lease is None or not seat.live(now):
            return False
        return seat.ends is None or seat.ends - now <= SPANS[self.lease] / 2

    def renew(self, now: datetime, until: datetime | None) -> str:
        if self.revoked or self.starts is None:
            return "403 license_revoked" if self.revoked else "409 license_clock_not_started"
        if self.expires is None or (until is None and self.terms.duration is None):
            return "409 license_not_renewable"
        run_out = now >= (self.graced or self.expires)
        expires = until or (now if run_out else self.expires) + SPANS[str(self.terms.duration)]
        if until is None and expires <= now:
            expires = now + SPANS[str(self.terms.duration)]
        if expires <= self.starts:
            return "422 license_dates_impossible"
        if expires != self.expires:
            self.duration, self.grace = self.terms.duration, self.terms.grace
            self.until(expires)
        return "200"

    def change_policy(self, now: datetime, terms: Terms, *, reset: bool) -> str:
        if self.revoked:
            return "403 license_revoked"
        if terms.contradiction(self.overrides):
            return "422 policy_contradiction"
        if terms.seat_by != self.terms.seat_by:
            for seat in self.seats:
                seat.released = True
        self.terms = terms
        if reset or (self.starts is None and terms.starts == "issue"):
            self.duration, self.grace = terms.duration, terms.grace
            self.starts = self.expires = self.graced = None
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
