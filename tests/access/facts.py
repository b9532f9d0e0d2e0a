"""Hypothesis strategies for the facts of an access decision: session, license and agreements at any time."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st

from app.access.rules import AccessFacts, SessionFacts
from app.agreements.models import AgreementKind, ChangeClass
from app.agreements.obligations import Compliance, Obligation, Version, assess_compliance
from app.catalog.models import Requirement
from app.licenses.rules import LicenseFacts, Seat, UseRequest

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
FACTOR_LIFETIME = 24 * HOUR
SESSION = SessionFacts(
    alive=True, active=True, email_verified=True, has_second_factor=True, second_factor_at=NOW, expires_at=NOW + 30 * DAY,
    has_passkey=True, passkey_at=NOW,
)  # fmt: skip
LICENSE = LicenseFacts(
    license_id=UUID(int=1), product="studio", starts_at=NOW - HOUR, expires_at=None, grace_until=None, suspended_at=None, revoked_at=None,
    seat_by="device", max_seats=3, lease=None, max_users=None, features={"export": True}, requires=(), self_service=False, seats_used=1,
    assigned=True, seat=Seat(UUID(int=2), "laptop", None, None),
)  # fmt: skip
ALL = [item.value for item in Requirement]
FIRST = Version(UUID(int=4), 1, ChangeClass.MATERIAL, NOW - HOUR, None)
OBLIGATION = Obligation(UUID(int=3), 1, 0, (), since=NOW - HOUR)


@dataclass(frozen=True)
class Scenario:
    """Stored data from which the facts at any time follow."""

    facts: AccessFacts
    obligations: tuple[Obligation, ...]

    def at(self, now: datetime) -> AccessFacts:
        return replace(self.facts, agreements=self.agreements(now))

    def agreements(self, now: datetime) -> Compliance:
        return assess_compliance(self.obligations, now)


PAST = st.sampled_from([None, NOW, NOW - HOUR, NOW - 23 * HOUR, NOW - 25 * HOUR])
AHEAD = st.sampled_from([NOW + HOUR, NOW + 13 * DAY, NOW + 20 * DAY])
SESSIONS = st.builds(
    SessionFacts, alive=st.booleans(), active=st.booleans(), email_verified=st.booleans(), has_second_factor=st.booleans(),
    second_factor_at=PAST, expires_at=st.sampled_from([NOW - HOUR, NOW, NOW + HOUR, NOW + 30 * DAY]),
    has_passkey=st.booleans(), passkey_at=PAST,
)  # fmt: skip
SEATS = st.builds(Seat, st.just(UUID(int=2)), st.sampled_from(["laptop", "phone"]), st.none() | AHEAD | PAST, st.sampled_from([None, NOW]))


def _license(
    starts: timedelta, lasting: timedelta | None, grace: timedelta | None, lease: str | None, license_: LicenseFacts
) -> LicenseFacts:
    start = NOW + starts
    end = start + lasting if lasting else None
    return replace(license_, starts_at=start, expires_at=end, grace_until=end + grace if end and grace else None, lease=lease)


LICENSES = st.builds(
    _license, st.sampled_from([-20 * DAY, -HOUR, HOUR]), st.sampled_from([None, HOUR, 10 * DAY, 20 * DAY, 60 * DAY]),
    st.sampled_from([None, 2 * DAY]), st.sampled_from([None, "PT2H", "P7D"]),
    st.builds(
        replace, st.just(LICENSE), revoked_at=st.sampled_from([None, None, NOW]), suspended_at=st.sampled_from([None, None, NOW]),
        seat=st.none() | SEATS, seat_by=st.sampled_from(["none", "device", "user", "device_per_user"]),
        max_users=st.sampled_from([None, 1]), assigned=st.booleans(), user_closed=st.booleans(),
        features=st.sampled_from([{}, {"export": True}]), requires=st.lists(st.sampled_from(ALL), max_size=2).map(tuple),
    ),
)  # fmt: skip
VERSIONS = st.tuples(
    st.sampled_from([NOW - HOUR, NOW, NOW + HOUR]), st.sampled_from(sorted(ChangeClass)), st.sampled_from([None, 2 * HOUR, 15 * DAY])
).map(lambda version: Version(UUID(int=5), 2, version[1], version[0], version[0] + version[2] if version[2] else None))
OBLIGATIONS = st.builds(
    lambda accepted, declined, first, later, kind: Obligation(
        UUID(int=3), accepted, declined, tuple(each for each in (first, later) if each is not None and each.ordinal > accepted), 0, False,
        kind, since=NOW - HOUR,
    ),
    st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 2]), st.just(FIRST), st.none() | VERSIONS, st.sampled_from(sorted(AgreementKind)),
)  # fmt: skip
SCENARIOS = st.builds(
    Scenario,
    st.builds(
        AccessFacts, requires=st.lists(st.sampled_from(ALL), unique=True), session=st.none() | st.just(SESSION) | SESSIONS,
        second_factor_lifetime=st.just(FACTOR_LIFETIME), license=st.none() | st.just(LICENSE) | LICENSES, names_license=st.booleans(),
        use=st.builds(UseRequest, st.sampled_from([None, "laptop"]), st.sampled_from([[], ["export"]]), st.booleans()),
        agreements=st.just(assess_compliance((), NOW)),
    ),
    st.sampled_from([(), (OBLIGATION,)]) | OBLIGATIONS.map(lambda obligation: (obligation,)),
)  # fmt: skip
"""About a third of the scenarios allow access."""
