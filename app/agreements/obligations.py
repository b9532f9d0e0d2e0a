"""What an end user owes to the agreements of a product, and until when. Pure: no I/O, no clock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby, takewhile
from typing import Literal, NamedTuple
from uuid import UUID

from app.agreements.models import ChangeClass, EventType, Kind
from app.base.durations import instant_text
from app.base.problems import Fact, declare_advisory

IN_GRACE = declare_advisory("agreement_in_grace", "A new agreement is in force; accept it before its days of grace end.")
UPCOMING = declare_advisory("agreement_upcoming", "A new agreement takes effect soon; it can be accepted now.")
NOTICE = declare_advisory("agreement_notice", "The agreement has changed in a way that asks for no new acceptance.")
WORLD_REGION = "001"


@dataclass(frozen=True)
class Version:
    """A published version. Ordinals and `effective_at` rise together."""

    id: UUID
    ordinal: int
    change_class: str
    effective_at: datetime
    grace_until: datetime | None
    label: str | None = None

    def requires_acceptance(self) -> bool:
        return self.change_class == ChangeClass.MATERIAL


Status = Literal["not_required", "accepted", "in_grace", "declined", "withdrawn", "required", "notified", "to_be_shown"]


@dataclass(frozen=True)
class Obligation:
    """Where one end user stands with one document: the highest ordinals accepted, declined and shown as news (0: none), and its
    published versions, of which those up to `accepted` may be left out. `since`: when the first of all took effect, if known."""

    document_id: UUID
    accepted: int
    declined: int
    versions: tuple[Version, ...]
    notified: int = 0
    withdrawn: bool = False
    kind: str = Kind.EULA
    region: str = WORLD_REGION
    since: datetime | None = None

    def is_in_force(self, now: datetime) -> bool:
        """Whether a version has taken effect yet, accepted or not."""
        first = min((it.effective_at for it in self.versions), default=None) if self.since is None else self.since
        return self.accepted > 0 if first is None else first <= now

    def list_owed(self, now: datetime) -> tuple[Version, ...]:
        """The material versions in effect that the user has not accepted, nor a later one. Empty: compliant (agreements R8).

        A notice is never owed: nobody has to accept it.
        """
        if self.kind == Kind.NOTICE:
            return ()
        return tuple(it for it in self.versions if it.ordinal > self.accepted and it.requires_acceptance() and it.effective_at <= now)

    def list_upcoming(self, now: datetime) -> tuple[Version, ...]:
        """Those scheduled that the user has not accepted early."""
        return tuple(it for it in self.versions if it.ordinal > self.accepted and now < it.effective_at)

    def required_ordinal(self, now: datetime) -> int:
        """The ordinal still to be met; 0 when none is."""
        return max((it.ordinal for it in self.list_owed(now)), default=0)

    def grace_end(self, now: datetime) -> datetime | None:
        """When grace ends, while it runs: the earliest deadline of all that is owed; never without an acceptance (agreements R9)."""
        deadline = min((it.grace_until or it.effective_at for it in self.list_owed(now)), default=None)
        return deadline if self.accepted and deadline is not None and now < deadline else None

    def status(self, now: datetime) -> Status:
        if self.kind == Kind.NOTICE:
            return "to_be_shown" if self.pending_notice(now) is not None else "notified" if self.notified else "not_required"
        required = self.required_ordinal(now)
        if not required:
            return "accepted" if self.accepted else "not_required"
        if self.grace_end(now) is not None:
            return "in_grace"
        if self.withdrawn:
            return "withdrawn"
        return "declined" if self.declined >= required else "required"

    def is_news(self, version: Version) -> bool:
        """Whether a version is news to this user, to be shown and not to be decided: that of a notice, but for corrections; or one
        of class `notice`, to somebody who accepted an earlier one (agreements R11)."""
        if self.kind == Kind.NOTICE:
            return version.change_class != ChangeClass.EDITORIAL
        return version.change_class == ChangeClass.NOTICE and self.accepted > 0

    def must_record_showing(self, version: Version, now: datetime) -> bool:
        """Whether showing this version is to be recorded as the showing of news: once, and nothing earlier is passed over (agreements R11)."""
        if (pending := self.pending_notice(now)) is not None:
            return pending.ordinal <= version.ordinal and version.effective_at <= now
        return self.is_news(version) and version.ordinal > max(self.accepted, self.notified)

    def pending_notice(self, now: datetime) -> Version | None:
        """The latest version in effect that only informs, and has not been shown; none while a later one is owed (agreements R11)."""
        known = max(self.accepted, self.required_ordinal(now), self.notified)
        news = (it for it in self.versions if self.is_news(it) and it.ordinal > known and it.effective_at <= now)
        return max(news, key=lambda it: it.ordinal, default=None)


def apply_event(duty: Obligation, word: EventType, ordinal: int) -> Obligation:
    """The duty after this word on this version. Its ordinals only ever rise; declining takes no acceptance back (agreements R21), withdrawing
    takes back all of them (agreements R22). A note changes nothing."""
    match word:
        case EventType.ACCEPTED | EventType.IMPORTED:
            return replace(duty, accepted=max(duty.accepted, ordinal), withdrawn=False)
        case EventType.DECLINED:
            return replace(duty, declined=max(duty.declined, ordinal))
        case EventType.NOTICE_SHOWN:
            return replace(duty, notified=max(duty.notified, ordinal))
        case EventType.WITHDRAWN:
            return replace(duty, accepted=0, withdrawn=True)
        case EventType.ANNOTATED:
            return duty


def list_regions(region: str | None, groups: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The regions whose documents are for an end user of this one, the nearest first: `CA-QC`, `CA`, the groups that hold it, the world."""
    if region is None:
        return (WORLD_REGION,)
    country = region.partition("-")[0]
    among = sorted(name for name, members in groups.items() if members & {region, country})
    return tuple(dict.fromkeys((region, country, *among, WORLD_REGION)))


def select_applicable(duties: Iterable[Obligation], places: Sequence[str], now: datetime) -> tuple[Obligation, ...]:
    """Of each kind the document nearest to the end user that is in force; and nearer ones before it that are yet to come."""
    near = sorted((it for it in duties if it.region in places), key=lambda it: (it.kind, places.index(it.region)))
    chosen: list[Obligation] = []
    for _, group in groupby(near, key=lambda it: it.kind):
        several = list(group)
        coming = list(takewhile(lambda it: not it.is_in_force(now), several))
        chosen += several[: len(coming) + 1]
    return tuple(chosen)


@dataclass(frozen=True)
class UserObligations:
    """One end user's duties to all documents of a product, and the regions that reach this user."""

    obligations: tuple[Obligation, ...]
    regions: tuple[str, ...] = (WORLD_REGION,)

    def for_document(self, document_id: UUID) -> Obligation:
        return next(it for it in self.obligations if it.document_id == document_id)

    def with_changed(self, moved_: Obligation) -> "UserObligations":
        """The same with one duty moved on."""
        return replace(self, obligations=tuple(moved_ if it.document_id == moved_.document_id else it for it in self.obligations))

    def compliance(self, now: datetime) -> "Compliance":
        return assess_compliance(select_applicable(self.obligations, self.regions, now), now)


class DocumentOrdinal(NamedTuple):
    """A document, and an ordinal of it."""

    document_id: UUID
    ordinal: int


class Advice(NamedTuple):
    code: str
    facts: dict[str, Fact]


@dataclass(frozen=True)
class Compliance:
    """`compliant`: access may be allowed, grace included. `outstanding`: what should be accepted, also during grace; empty is
    agreements R8's compliance. `accepted`: the highest ordinals accepted. `declined`: one that stands in the way was declined.
    `valid_until`: when any of this could change by itself."""

    compliant: bool
    declined: bool
    outstanding: tuple[DocumentOrdinal, ...]
    accepted: tuple[DocumentOrdinal, ...]
    warnings: tuple[Advice, ...]
    valid_until: datetime | None


NOTHING_OWED = Compliance(compliant=True, declined=False, outstanding=(), accepted=(), warnings=(), valid_until=None)
"""Of nobody in particular, or where there are no agreements."""


def assess_compliance(duties: Iterable[Obligation], now: datetime) -> Compliance:
    """Whether the agreements of a product stand in the way of its use at this moment (agreements R8, R9, R11, R20, R21)."""
    duties = tuple(duties)
    statuses = [duty.status(now) for duty in duties]
    return Compliance(
        compliant=not {"required", "declined", "withdrawn"} & set(statuses),
        declined="declined" in statuses,
        outstanding=tuple(DocumentOrdinal(duty.document_id, duty.required_ordinal(now)) for duty in duties if duty.list_owed(now)),
        accepted=tuple(DocumentOrdinal(duty.document_id, duty.accepted) for duty in duties if duty.accepted),
        warnings=tuple(advice for duty in duties for advice in _advice(duty, now)),
        valid_until=min((moment for duty in duties for moment in _boundaries(duty, now)), default=None),
    )


def _advice(duty: Obligation, now: datetime) -> Iterator[Advice]:
    document = str(duty.document_id)
    if (deadline := duty.grace_end(now)) is not None:
        yield Advice(IN_GRACE, {"document": document, "ordinal": duty.required_ordinal(now), "grace_until": instant_text(deadline)})
    for version in duty.list_upcoming(now):
        if version.requires_acceptance() and duty.kind != Kind.NOTICE:
            yield Advice(UPCOMING, {"document": document, "ordinal": version.ordinal, "effective_at": instant_text(version.effective_at)})
    if (news := duty.pending_notice(now)) is not None:
        yield Advice(NOTICE, {"document": document, "ordinal": news.ordinal, "effective_at": instant_text(news.effective_at)})


def _boundaries(duty: Obligation, now: datetime) -> Iterator[datetime]:
    """The moments ahead at which the answer changes by itself; an editorial version changes none."""
    if (deadline := duty.grace_end(now)) is not None:
        yield deadline
    if duty.since is not None and now < duty.since:
        yield duty.since
    for version in duty.list_upcoming(now):
        if version.requires_acceptance() or duty.is_news(version):
            yield version.effective_at


def find_current(versions: Iterable[Version], now: datetime) -> Version | None:
    """The version in effect: the latest whose time has come (agreements R7)."""
    return max((it for it in versions if it.effective_at <= now), key=lambda it: it.ordinal, default=None)


def find_scheduled(versions: Iterable[Version], now: datetime) -> Version | None:
    """The one published version whose time has not come (agreements R4 allows one)."""
    return next((it for it in versions if now < it.effective_at), None)


def choose_version(duty: Obligation, now: datetime) -> Version | None:
    """The version to present: the one in effect; or the coming material one, to a user who owes nothing now, nor has to see any (agreements R10)."""
    coming = next((it for it in duty.list_upcoming(now) if it.requires_acceptance()), None)
    ready = not duty.list_owed(now) and duty.pending_notice(now) is None
    return coming if coming is not None and ready else find_current(duty.versions, now)
