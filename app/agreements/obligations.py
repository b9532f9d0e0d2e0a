"""Computes what an end user must accept among the agreements of a product, and until when. Pure: no I/O, no clock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby, takewhile
from typing import Literal, NamedTuple
from uuid import UUID

from app.agreements.models import AgreementKind, ChangeClass, EventType
from app.base.durations import instant_text
from app.base.problems import Fact, declare_advisory

AGREEMENT_IN_GRACE = declare_advisory("agreement_in_grace", "A new agreement is in force; accept it before the grace period ends.")
AGREEMENT_UPCOMING = declare_advisory("agreement_upcoming", "A new agreement takes effect soon; it can be accepted now.")
CHANGE_NOTICE = declare_advisory("agreement_notice", "The agreement has changed; show the new version. No new acceptance is needed.")
WORLD_REGION = "001"
"""The whole world (UN M.49)."""


@dataclass(frozen=True)
class Version:
    """A published version. A later version has a higher ordinal and a later `effective_at`."""

    id: UUID
    ordinal: int
    change_class: str
    effective_at: datetime
    grace_until: datetime | None
    label: str | None = None

    def requires_acceptance(self) -> bool:
        return self.change_class == ChangeClass.MATERIAL


ObligationStatus = Literal["not_required", "accepted", "in_grace", "declined", "withdrawn", "required", "notified", "to_be_shown"]


@dataclass(frozen=True)
class Obligation:
    """One end user's state for one document, with the document's published versions.

    `accepted`, `declined`, `notified`: the highest ordinals accepted, declined and shown as news; 0 means none. `versions` may leave out
    versions up to `accepted`. `since`: when the first version took effect, if known.
    """

    document_id: UUID
    accepted: int
    declined: int
    versions: tuple[Version, ...]
    notified: int = 0
    withdrawn: bool = False
    kind: str = AgreementKind.EULA
    region: str = WORLD_REGION
    since: datetime | None = None

    def is_in_force(self, now: datetime) -> bool:
        """Return whether any version has taken effect, accepted or not."""
        first = min((version.effective_at for version in self.versions), default=None) if self.since is None else self.since
        return self.accepted > 0 if first is None else first <= now

    def list_owed(self, now: datetime) -> tuple[Version, ...]:
        """List the material versions in effect that are newer than the user's acceptance. Empty: compliant (agreements R8).

        A notice needs no acceptance, so its list is always empty.
        """
        if self.kind == AgreementKind.NOTICE:
            return ()
        newer = (version for version in self.versions if version.ordinal > self.accepted)
        return tuple(version for version in newer if version.requires_acceptance() and version.effective_at <= now)

    def list_upcoming(self, now: datetime) -> tuple[Version, ...]:
        """List the scheduled versions that the user has not accepted early."""
        return tuple(version for version in self.versions if version.ordinal > self.accepted and now < version.effective_at)

    def required_ordinal(self, now: datetime) -> int:
        """Return the ordinal that the user must accept now; 0 if there is none."""
        return max((version.ordinal for version in self.list_owed(now)), default=0)

    def grace_end(self, now: datetime) -> datetime | None:
        """Return the end of the grace period: the earliest deadline of all owed versions. None without an acceptance (agreements R9)."""
        deadline = min((version.grace_until or version.effective_at for version in self.list_owed(now)), default=None)
        return deadline if self.accepted and deadline is not None and now < deadline else None

    def status(self, now: datetime) -> ObligationStatus:
        if self.kind == AgreementKind.NOTICE:
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
        """Return whether a version must be shown to this user and needs no decision (agreements R11).

        That is every version of a notice except corrections, and a version of class `notice` for a user who accepted an earlier one.
        """
        if self.kind == AgreementKind.NOTICE:
            return version.change_class != ChangeClass.EDITORIAL
        return version.change_class == ChangeClass.NOTICE and self.accepted > 0

    def must_record_showing(self, version: Version, now: datetime) -> bool:
        """Return whether showing this version is recorded in the ledger: once for each version, in their order (agreements R11)."""
        if (pending := self.pending_notice(now)) is not None:
            return pending.ordinal <= version.ordinal and version.effective_at <= now
        return self.is_news(version) and version.ordinal > max(self.accepted, self.notified)

    def pending_notice(self, now: datetime) -> Version | None:
        """Return the latest version in effect that must still be shown; None while a later version must be accepted (agreements R11)."""
        known = max(self.accepted, self.required_ordinal(now), self.notified)
        news = (version for version in self.versions if self.is_news(version) and version.ordinal > known and version.effective_at <= now)
        return max(news, key=lambda version: version.ordinal, default=None)


def apply_event(obligation: Obligation, event: EventType, ordinal: int) -> Obligation:
    """Return the obligation after an event about the version with this ordinal.

    Ordinals only rise. Declining keeps an earlier acceptance (agreements R21); withdrawing removes all of them (agreements R22); a note
    changes nothing.
    """
    match event:
        case EventType.ACCEPTED | EventType.IMPORTED:
            return replace(obligation, accepted=max(obligation.accepted, ordinal), withdrawn=False)
        case EventType.DECLINED:
            return replace(obligation, declined=max(obligation.declined, ordinal))
        case EventType.NOTICE_SHOWN:
            return replace(obligation, notified=max(obligation.notified, ordinal))
        case EventType.WITHDRAWN:
            return replace(obligation, accepted=0, withdrawn=True)
        case EventType.ANNOTATED:
            return obligation


def list_regions(region: str | None, groups: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """List the regions that apply to an end user of `region`, nearest first: `CA-QC`, `CA`, groups with that country, the world."""
    if region is None:
        return (WORLD_REGION,)
    country = region.partition("-")[0]
    matching = sorted(name for name, members in groups.items() if members & {region, country})
    return tuple(dict.fromkeys((region, country, *matching, WORLD_REGION)))


def select_applicable(obligations: Iterable[Obligation], regions: Sequence[str], now: datetime) -> tuple[Obligation, ...]:
    """Select, for each kind, the nearest document in force, and the nearer documents that are not in force yet."""
    nearest_first = sorted(
        (obligation for obligation in obligations if obligation.region in regions),
        key=lambda obligation: (obligation.kind, regions.index(obligation.region)),
    )
    selected: list[Obligation] = []
    for _, group in groupby(nearest_first, key=lambda obligation: obligation.kind):
        same_kind = list(group)
        upcoming = list(takewhile(lambda obligation: not obligation.is_in_force(now), same_kind))
        selected += same_kind[: len(upcoming) + 1]
    return tuple(selected)


@dataclass(frozen=True)
class UserObligations:
    """One end user's obligations for all documents of a product, and the regions that apply to this user."""

    obligations: tuple[Obligation, ...]
    regions: tuple[str, ...] = (WORLD_REGION,)

    def for_document(self, document_id: UUID) -> Obligation:
        return next(obligation for obligation in self.obligations if obligation.document_id == document_id)

    def with_changed(self, changed: Obligation) -> "UserObligations":
        """Return a copy in which `changed` replaces the obligation for its document."""
        replaced = (changed if each.document_id == changed.document_id else each for each in self.obligations)
        return replace(self, obligations=tuple(replaced))

    def compliance(self, now: datetime) -> "Compliance":
        return assess_compliance(select_applicable(self.obligations, self.regions, now), now)


class DocumentOrdinal(NamedTuple):
    """A document and the ordinal of one of its versions."""

    document_id: UUID
    ordinal: int


class Advice(NamedTuple):
    """A warning for the end user: its code, and its facts as JSON values."""

    code: str
    facts: dict[str, Fact]


@dataclass(frozen=True)
class Compliance:
    """Whether the agreements of a product allow its use.

    `compliant`: access may be allowed, grace periods included. `declined`: a required version was declined. `outstanding`: what the user
    should accept, also during grace (agreements R8: compliant means empty). `accepted`: the highest ordinals accepted. `valid_until`: the
    next time at which the answer can change without an event.
    """

    compliant: bool
    declined: bool
    outstanding: tuple[DocumentOrdinal, ...]
    accepted: tuple[DocumentOrdinal, ...]
    warnings: tuple[Advice, ...]
    valid_until: datetime | None


NOTHING_OWED = Compliance(compliant=True, declined=False, outstanding=(), accepted=(), warnings=(), valid_until=None)
"""The answer when there is no end user or no agreement."""


def assess_compliance(obligations: Iterable[Obligation], now: datetime) -> Compliance:
    """Decide whether the agreements of a product allow its use at this moment (agreements R8, R9, R11, R20, R21)."""
    obligations = tuple(obligations)
    statuses = [obligation.status(now) for obligation in obligations]
    return Compliance(
        compliant=not {"required", "declined", "withdrawn"} & set(statuses),
        declined="declined" in statuses,
        outstanding=tuple(DocumentOrdinal(each.document_id, each.required_ordinal(now)) for each in obligations if each.list_owed(now)),
        accepted=tuple(DocumentOrdinal(each.document_id, each.accepted) for each in obligations if each.accepted),
        warnings=tuple(advice for each in obligations for advice in _list_advice(each, now)),
        valid_until=min((moment for each in obligations for moment in _list_boundaries(each, now)), default=None),
    )


def _list_advice(obligation: Obligation, now: datetime) -> Iterator[Advice]:
    document = str(obligation.document_id)
    if (deadline := obligation.grace_end(now)) is not None:
        yield Advice(
            AGREEMENT_IN_GRACE, {"document": document, "ordinal": obligation.required_ordinal(now), "grace_until": instant_text(deadline)}
        )
    for version in obligation.list_upcoming(now):
        if version.requires_acceptance() and obligation.kind != AgreementKind.NOTICE:
            yield Advice(
                AGREEMENT_UPCOMING, {"document": document, "ordinal": version.ordinal, "effective_at": instant_text(version.effective_at)}
            )
    if (news := obligation.pending_notice(now)) is not None:
        yield Advice(CHANGE_NOTICE, {"document": document, "ordinal": news.ordinal, "effective_at": instant_text(news.effective_at)})


def _list_boundaries(obligation: Obligation, now: datetime) -> Iterator[datetime]:
    """Yield the future times at which the compliance can change without an event. An editorial version changes nothing."""
    if (deadline := obligation.grace_end(now)) is not None:
        yield deadline
    if obligation.since is not None and now < obligation.since:
        yield obligation.since
    for version in obligation.list_upcoming(now):
        if version.requires_acceptance() or obligation.is_news(version):
            yield version.effective_at


def find_current(versions: Iterable[Version], now: datetime) -> Version | None:
    """Return the version in effect: the latest version whose `effective_at` has passed (agreements R7)."""
    return max((version for version in versions if version.effective_at <= now), key=lambda version: version.ordinal, default=None)


def find_scheduled(versions: Iterable[Version], now: datetime) -> Version | None:
    """Return the published version that takes effect later; there is at most one (agreements R4)."""
    return next((version for version in versions if now < version.effective_at), None)


def choose_version(obligation: Obligation, now: datetime) -> Version | None:
    """Choose the version to present: the version in effect, or the upcoming material version if nothing is due now (agreements R10).

    Nothing is due if no acceptance is owed and no notice must be shown.
    """
    upcoming = next((version for version in obligation.list_upcoming(now) if version.requires_acceptance()), None)
    has_nothing_due = not obligation.list_owed(now) and obligation.pending_notice(now) is None
    return upcoming if upcoming is not None and has_nothing_due else find_current(obligation.versions, now)
