"""The pure side of agreements: the bytes of a text, and what may be published. No I/O, no clock."""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal
from uuid import UUID

from app.agreements import rendering
from app.agreements.models import ChangeClass, Kind, Minors
from app.agreements.obligations import WORLD_REGION, Version, find_current, find_scheduled
from app.agreements.problems import (
    AgreementAlreadyScheduled,
    AgreementChangesMissing,
    AgreementDatesImpossible,
    AgreementDefaultLocaleFixed,
    AgreementDefaultTextMissing,
    AgreementFirstNotMaterial,
    AgreementMinorsImpossible,
    AgreementRegionUnknown,
    AgreementRequiredTextMissing,
)
from app.base.durations import instant_text
from app.base.languages import covers
from app.base.problems import Fact, Problem, field_error
from app.config.regions import COUNTRY_LETTERS

VersionState = Literal["draft", "scheduled", "effective", "superseded", "cancelled"]


def normalise(body: str) -> str:
    """The text as it is stored for ever: NFC, LF line ends, a final line end (agreements R1)."""
    lines = unicodedata.normalize("NFC", body.replace("\r\n", "\n").replace("\r", "\n"))
    return lines if lines.endswith("\n") else lines + "\n"


def digest(text: str) -> str:
    """SHA-256 over the UTF-8 bytes, 64 lower-case hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def digest_statement(statement: str, accept_label: str, decline_label: str) -> str:
    """SHA-256 over statement, LF, accept label, LF, decline label, as shown. Labels hold no line end, so the parts are certain."""
    return digest(f"{statement}\n{accept_label}\n{decline_label}")


def freeze_text(body: str, locale: str) -> dict[str, str]:
    """What a text is kept as for ever beside its source: HTML and plain text, each with its hash, by the names of their columns (agreements R2)."""
    html, plain = rendering.html(body, locale), rendering.plain(body)
    return {"html": html, "html_sha256": digest(html), "plain": plain, "plain_sha256": digest(plain)}


def check_declaration(kind: str, region: str, minors: str, groups: Collection[str]) -> Problem | None:
    """Why an agreement can never work as it is declared, if so. `groups`: the names of the configured groups of countries."""
    if not _is_place(region, groups):
        return AgreementRegionUnknown(facts=field_error("/region", AgreementRegionUnknown.code, "is no region that anybody can be of"))
    if kind == Kind.NOTICE and minors != Minors.ALLOW:
        return AgreementMinorsImpossible(facts=field_error("/minors", AgreementMinorsImpossible.code, "wants `allow` for a notice"))
    return None


def _is_place(region: str, groups: Collection[str]) -> bool:
    """A group has no subdivisions; whether a country of that name exists is the operator's to know."""
    country, dash, _ = region.partition("-")
    is_country = len(country) == COUNTRY_LETTERS and country.isalpha()
    return region == WORLD_REGION or region in groups or (is_country and not (dash and country in groups))


def check_required_texts(required: Iterable[str], available: Collection[str]) -> Problem | None:
    """Which of the languages that an agreement requires have no text, not even in a narrower form, if any has none."""
    missing: list[Fact] = [locale for locale in required if not any(covers([locale], tag) for tag in available)]
    return AgreementRequiredTextMissing(facts={"locales": missing}) if missing else None


def check_default_locale(was: str, wanted: str, published: Collection[Version]) -> Problem | None:
    """Whoever reads no language that there is gets the default one; so it stays what the published versions have."""
    return AgreementDefaultLocaleFixed(facts={"locale": was}) if published and wanted != was else None


def find_previous(ordinal: int | None, published: Iterable[Version]) -> Version | None:
    """The version that one with this ordinal follows; a draft (None) would follow the latest of all."""
    earlier = (it for it in published if ordinal is None or it.ordinal < ordinal)
    return max(earlier, key=lambda it: it.ordinal, default=None)


def find_state(version_id: UUID, versions: Iterable[Version], now: datetime) -> VersionState:
    """What a version that is not cancelled is by the time (agreements R7); `versions` are all the published ones of its document."""
    published = {it.id: it for it in versions}
    if version_id not in published:
        return "draft"
    if now < published[version_id].effective_at:
        return "scheduled"
    now_in_effect = find_current(published.values(), now)
    return "effective" if now_in_effect is not None and now_in_effect.id == version_id else "superseded"


def needs_changes(change_class: str, follows: bool) -> bool:
    """Whether every text must tell what changed: a material version that `follows` an earlier one (agreements R4)."""
    return follows and change_class == ChangeClass.MATERIAL


@dataclass(frozen=True)
class Publication:
    """What is about to be published. `changes` holds, for each language that has a text, its summary of what changed; `published`
    are the versions before it without the cancelled ones, which nobody ever had to accept."""

    change_class: str
    default_locale: str
    changes: Mapping[str, str | None]
    published: tuple[Version, ...]
    effective_at: datetime
    grace_until: datetime | None
    required_locales: tuple[str, ...] = ()


def check_publication(draft: Publication, now: datetime) -> Problem | None:
    """The first reason not to publish, if there is one (agreements R4). Statement and labels need no check: no text is stored without."""
    return next((problem for check in _CHECKS if (problem := check(draft, now)) is not None), None)


def _first_is_material(draft: Publication, now: datetime) -> Problem | None:
    return None if draft.published or draft.change_class == ChangeClass.MATERIAL else AgreementFirstNotMaterial()


def _default_text(draft: Publication, now: datetime) -> Problem | None:
    return None if draft.default_locale in draft.changes else AgreementDefaultTextMissing(facts={"locale": draft.default_locale})


def _required_texts(draft: Publication, now: datetime) -> Problem | None:
    return check_required_texts(draft.required_locales, draft.changes)


def _changes_told(draft: Publication, now: datetime) -> Problem | None:
    silent: list[Fact] = [locale for locale, text in sorted(draft.changes.items()) if text is None]
    due = needs_changes(draft.change_class, bool(draft.published))
    return AgreementChangesMissing("Give `changes` in every language.", {"locales": silent}) if due and silent else None


def _none_scheduled(draft: Publication, now: datetime) -> Problem | None:
    waiting = find_scheduled(draft.published, now)
    return (
        None
        if waiting is None
        else AgreementAlreadyScheduled(facts={"version": str(waiting.id), "effective_at": instant_text(waiting.effective_at)})
    )


def _dates(draft: Publication, now: datetime) -> Problem | None:
    # Nothing published lies ahead (the check before this one), so "not before any published version" is "not before now".
    if draft.effective_at < now:
        return AgreementDatesImpossible("`effective_at` lies before now.")
    if draft.grace_until is not None and draft.grace_until < draft.effective_at:
        return AgreementDatesImpossible("`grace_until` lies before the version takes effect.")
    return None


_CHECKS: tuple[Callable[[Publication, datetime], Problem | None], ...] = (
    _first_is_material,
    _default_text,
    _required_texts,
    _changes_told,
    _none_scheduled,
    _dates,
)
