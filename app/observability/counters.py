"""Metrics of the domain, declared in one place so that packages, dashboards and alerts use the same names.

Label values are constants of the program, so their number is bounded. No metric reveals whether an account exists. Changes of a
transaction are counted after its commit (`app.db.database.on_commit`).
"""

from functools import cache

from prometheus_client import Counter, Gauge

LOGINS = Counter(
    "licentia_logins_total",
    "Logins and their steps: opened, stepped_up, unfinished (another step is needed), refused (wrong credential), throttled",
    ["result"],
)
DECISIONS = Counter(
    "licentia_decisions_total",
    "Access decisions (call=access) and license validations (call=validate): allowed, or the code of the first reason for refusal",
    ["call", "code"],
)
SEATS = Counter("licentia_seats_total", "Changes of seats: taken, released, refused because all seats were taken", ["change"])
LOCKOUTS = Counter("licentia_lockouts_total", "Lockouts after consecutive wrong attempts, by factor", ["factor"])
OUTBOX_AGE = Gauge("licentia_outbox_age_seconds", "Seconds since the oldest unsent message; 0 if there is none, NaN if unknown", ["outbox"])
HASHES = Gauge("licentia_hashes", "Password hashes in this process: running, waiting, and the maximum (most)", ["state"])
CONNECTIONS = Gauge("licentia_database_connections", "Database connections of this process: in use, and the maximum (most)", ["state"])
BUILD = Gauge("licentia_build_info", "Always 1; the label is the running version", ["version"])


@cache
def decision_counter(call: str, code: str) -> Counter:
    """Return the counter of one result. Cached, because it is on the hot path."""
    return DECISIONS.labels(call, code)


login_opened, login_stepped_up, login_unfinished, login_refused, login_throttled = (
    LOGINS.labels(result) for result in ("opened", "stepped_up", "unfinished", "refused", "throttled")
)
seat_taken, seat_released, seat_refused = (SEATS.labels(change) for change in ("taken", "released", "refused"))
