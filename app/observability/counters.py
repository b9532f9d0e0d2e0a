"""The domain's own counters, declared in one place so that rooms, dashboards and alerts speak of the same names.

Labels are words of the program, never of a caller, so that their number is bounded; and no counter tells apart whether an account
exists. What is written in a transaction is counted once that stands: `app.db.database.on_commit`.
"""

from functools import cache

from prometheus_client import Counter, Gauge

LOGINS = Counter(
    "licentia_logins_total",
    "Logins and steps of them: opened, stepped_up, unfinished (more is wanted), refused (whatever was shown did not fit), throttled",
    ["result"],
)
DECISIONS = Counter(
    "licentia_decisions_total",
    "Answers of the decision (call=access) and of validating a key (call=validate): allowed, or the code of the first reason against it",
    ["call", "code"],
)
SEATS = Counter("licentia_seats_total", "Device seats: taken, released, refused because none was free", ["change"])
LOCKOUTS = Counter("licentia_lockouts_total", "Waits that began because of wrong tries in a row, by what was tried", ["factor"])
OUTBOX_AGE = Gauge(
    "licentia_outbox_age_seconds", "Age of the oldest message that still waits; 0 when none does, NaN when unknown", ["outbox"]
)
HASHES = Gauge("licentia_hashes", "Password hashes of this process: running, waiting, and the most that may be either", ["state"])
CONNECTIONS = Gauge("licentia_database_connections", "Database connections of this process: in use, and the most there may be", ["state"])
BUILD = Gauge("licentia_build_info", "The running version", ["version"])


@cache
def decision_counter(call: str, code: str) -> Counter:
    """The counter of one answer; found once, for it is on the hot path."""
    return DECISIONS.labels(call, code)


login_opened, login_stepped_up, login_unfinished, login_refused, login_throttled = (
    LOGINS.labels(result) for result in ("opened", "stepped_up", "unfinished", "refused", "throttled")
)
seat_taken, seat_released, seat_refused = (SEATS.labels(change) for change in ("taken", "released", "refused"))
