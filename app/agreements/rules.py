"""The pure side of agreements: the bytes of a text, who owes what and until when, what may be published. No I/O, no clock."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Literal, NamedTuple
from uuid import UUID

from app.agreements.models import ChangeClass, EventType
from app.agreements.problems import (
    AgreementAlreadyScheduled,
    AgreementChangesMissing,
    AgreementDatesImpossible,
    AgreementDefaultTextMissing,
    AgreementFirstNotMaterial,
)
from app.base.problems import Fact, Problem, advisory

IN_GRACE = advisory("agreement_in_grace", "A new agreement is in force; accept it before its days of grace end.")
UPCOMING = advisory("agreement_upcoming", "A new agreement takes effect soon; it can be accepted now.")
NOTICE = advisory("agreement_notice", "The agreement has changed in a way that asks for no new acceptance.")


def normalised(body: str) -> str:
    """The text as it is stored for ever: NFC, LF line ends, a final line end (R1)."""
    lines = unicodedata.normalize("NFC", body.replace("\r\n", "\n").replace("\r", "\n"))
    return lines if lines.endswith("\n") else lines + "\n"


def digest(text: str) -> str:
    """SHA-256 over the UTF-8 bytes, 64 lower-case hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def statement_digest(statement: str, accept_label: str, decline_label: str) -> str:
    """SHA-256 over statement, LF, accept label, LF, decline label, as shown. Labels hold no line end, so the parts are certain."""
    return digest(f"{statement}\n{accept_label}\n{decline_label}")


@dataclass(frozen=True)
class Version:
    """A published version. Ordinals and `effective_at` rise together."""

    id: UUID
    ordinal: int
    change_class: str
    effective_at: datetime
    grace_until: datetime | None
    label: str | None = None

    def asks(self) -> bool:
        return self.change_class == ChangeClass.MATERIAL


@dataclass(frozen=True)
class Duty:
    """Where one end user stands with one document: the highest ordinals accepted and declined (0: none), and its published
    versions, of which those up to `accepted` may be left out."""

    document_id: UUID
    accepted: int
    declined: int
    versions: tuple[Version, ...]

    def owed(self, now: datetime) -> tuple[Version, ...]:
        """The material versions in effect that the user has not accepted, nor a later one. Empty: compliant (R8)."""
        return tuple(it for it in self.versions if it.ordinal > self.accepted and it.asks() and it.effective_at <= now)

    def upcoming(self, now: datetime) -> tuple[Version, ...]:
        """Those scheduled that the user has not accepted early."""
        return tuple(it for it in self.versions if it.ordinal > self.accepted and now < it.effective_at)

    def required(self, now: datetime) -> int:
        """The ordinal still to be met; 0 when none is."""
        return max((it.ordinal for it in self.owed(now)), default=0)

    def grace_end(self, now: datetime) -> datetime | None:
        """When grace ends, while it runs: the earliest deadline of all that is owed; never without an acceptance (R9)."""
        deadline = min((it.grace_until or it.effective_at for it in self.owed(now)), default=None)
        return deadline if self.accepted and deadline is not None and now < deadline else None

    def status(self, now: datetime) -> Literal["not_required", "accepted", "in_grace", "declined", "required"]:
        required = self.required(now)
        if not required:
            return "accepted" if self.accepted else "not_required"
        if self.grace_end(now) is not None:
            return "in_grace"
        return "declined" if self.declined >= required else "required"

    def notice(self, now: datetime) -> Version | None:
        """The latest version in effect that only informs, for those who accepted an earlier one and owe none after it (R11)."""
        known = max(self.accepted, self.required(now))
        news = (it for it in self.versions if it.change_class == ChangeClass.NOTICE and it.ordinal > known and it.effective_at <= now)
        return max(news, key=lambda it: it.ordinal, default=None) if self.accepted else None


def moved(duty: Duty, word: EventType, ordinal: int) -> Duty:
    """The duty after this word on this version: its ordinals only ever rise; declining takes no acceptance back (R21)."""
    if word is EventType.ACCEPTED:
        return replace(duty, accepted=max(duty.accepted, ordinal))
    return replace(duty, declined=max(duty.declined, ordinal))


class Standpoint(NamedTuple):
    """A document, and an ordinal of it."""

    document_id: UUID
    ordinal: int


class Advice(NamedTuple):
    code: str
    facts: dict[str, Fact]


@dataclass(frozen=True)
class Compliance:
    """`compliant`: access may be allowed, grace included. `outstanding`: what should be accepted, also during grace; empty is
    R8's compliance. `accepted`: the highest ordinals accepted. `declined`: one that stands in the way was declined.
    `valid_until`: when any of this could change by itself."""

    compliant: bool
    declined: bool
    outstanding: tuple[Standpoint, ...]
    accepted: tuple[Standpoint, ...]
    warnings: tuple[Advice, ...]
    valid_until: datetime | None


def compliance(duties: Iterable[Duty], now: datetime) -> Compliance:
    """Whether the agreements of a product stand in the way of its use at this moment (R8, R9, R11, R20, R21)."""
    duties = tuple(duties)
    statuses = [duty.status(now) for duty in duties]
    return Compliance(
        compliant=not {"required", "declined"} & set(statuses),
        declined="declined" in statuses,
        outstanding=tuple(Standpoint(duty.document_id, duty.required(now)) for duty in duties if duty.owed(now)),
        accepted=tuple(Standpoint(duty.document_id, duty.accepted) for duty in duties if duty.accepted),
        warnings=tuple(advice for duty in duties for advice in _advice(duty, now)),
        valid_until=min((moment for duty in duties for moment in _boundaries(duty, now)), default=None),
    )


def _advice(duty: Duty, now: datetime) -> Iterator[Advice]:
    document = str(duty.document_id)
    if (deadline := duty.grace_end(now)) is not None:
        yield Advice(IN_GRACE, {"document": document, "ordinal": duty.required(now), "grace_until": told(deadline)})
    for version in duty.upcoming(now):
        if version.asks():
            yield Advice(UPCOMING, {"document": document, "ordinal": version.ordinal, "effective_at": told(version.effective_at)})
    if (news := duty.notice(now)) is not None:
        yield Advice(NOTICE, {"document": document, "ordinal": news.ordinal, "effective_at": told(news.effective_at)})


def _boundaries(duty: Duty, now: datetime) -> Iterator[datetime]:
    """The moments ahead at which the answer changes by itself; an editorial version changes none."""
    if (deadline := duty.grace_end(now)) is not None:
        yield deadline
    for version in duty.upcoming(now):
        if version.asks() or (version.change_class == ChangeClass.NOTICE and duty.accepted):
            yield version.effective_at


def told(moment: datetime) -> str:
    """RFC 3339, milliseconds, `Z`, for a fact; `moment` is in UTC."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def current(versions: Iterable[Version], now: datetime) -> Version | None:
    """The version in effect: the latest whose time has come (R7)."""
    return max((it for it in versions if it.effective_at <= now), key=lambda it: it.ordinal, default=None)


def scheduled(versions: Iterable[Version], now: datetime) -> Version | None:
    """The one published version whose time has not come (R4 allows one)."""
    return next((it for it in versions if now < it.effective_at), None)


def to_show(duty: Duty, now: datetime) -> Version | None:
    """The version to present: the one in effect; or the coming material one, to a user who owes nothing now (R10)."""
    coming = next((it for it in duty.upcoming(now) if it.asks()), None)
    return coming if coming is not None and not duty.owed(now) else current(duty.versions, now)


def state(version_id: UUID, versions: Iterable[Version], now: datetime) -> Literal["draft", "scheduled", "effective", "superseded"]:
    """What a version is by the time (R7); `versions` are all the published ones of its document."""
    published = {it.id: it for it in versions}
    if version_id not in published:
        return "draft"
    if now < published[version_id].effective_at:
        return "scheduled"
    now_in_effect = current(published.values(), now)
    return "effective" if now_in_effect is not None and now_in_effect.id == version_id else "superseded"


def changes_due(change_class: str, follows: bool) -> bool:
    """Whether every text must tell what changed: a material version that `follows` an earlier one (R4)."""
    return follows and change_class == ChangeClass.MATERIAL


@dataclass(frozen=True)
class Draft:
    """What is about to be published. `changes` holds, for each language that has a text, its summary of what changed."""

    change_class: str
    default_locale: str
    changes: Mapping[str, str | None]
    published: tuple[Version, ...]
    effective_at: datetime
    grace_until: datetime | None


def hindrance(draft: Draft, now: datetime) -> Problem | None:
    """The first reason not to publish, if there is one (R4). Statement and labels need no check: no text is stored without."""
    return next((problem for check in _CHECKS if (problem := check(draft, now)) is not None), None)


def _first_is_material(draft: Draft, now: datetime) -> Problem | None:
    return None if draft.published or draft.change_class == ChangeClass.MATERIAL else AgreementFirstNotMaterial()


def _default_text(draft: Draft, now: datetime) -> Problem | None:
    return None if draft.default_locale in draft.changes else AgreementDefaultTextMissing(facts={"locale": draft.default_locale})


def _changes_told(draft: Draft, now: datetime) -> Problem | None:
    silent: list[Fact] = [locale for locale, text in sorted(draft.changes.items()) if text is None]
    due = changes_due(draft.change_class, bool(draft.published))
    return AgreementChangesMissing("Give `changes` in every language.", {"locales": silent}) if due and silent else None


def _none_scheduled(draft: Draft, now: datetime) -> Problem | None:
    waiting = scheduled(draft.published, now)
    return (
        None
        if waiting is None
        else AgreementAlreadyScheduled(facts={"version": str(waiting.id), "effective_at": told(waiting.effective_at)})
    )


def _dates(draft: Draft, now: datetime) -> Problem | None:
    # Nothing published lies ahead (the check before this one), so "not before any published version" is "not before now".
    if draft.effective_at < now:
        return AgreementDatesImpossible("`effective_at` lies before now.")
    if draft.grace_until is not None and draft.grace_until < draft.effective_at:
        return AgreementDatesImpossible("`grace_until` lies before the version takes effect.")
    return None


_CHECKS: tuple[Callable[[Draft, datetime], Problem | None], ...] = (
    _first_is_material,
    _default_text,
    _changes_told,
    _none_scheduled,
    _dates,
)
