"""The rules of publishing: how a text is stored, and what may be published. Pure: no I/O, no clock."""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal
from uuid import UUID

from app.agreements import problems, rendering
from app.agreements.models import AgreementKind, ChangeClass, Minors
from app.agreements.obligations import WORLD_REGION, Version, find_current, find_scheduled
from app.base.durations import instant_text
from app.base.languages import covers_language
from app.base.problems import Fact, Problem, field_error
from app.config.regions import COUNTRY_LETTERS

VersionState = Literal["draft", "scheduled", "effective", "superseded", "cancelled"]


def normalise(body: str) -> str:
    """Return the text in its stored form: NFC, LF line ends, a final line end (agreements R1)."""
    lines = unicodedata.normalize("NFC", body.replace("\r\n", "\n").replace("\r", "\n"))
    return lines if lines.endswith("\n") else lines + "\n"


def digest(text: str) -> str:
    """Return the SHA-256 of the UTF-8 bytes, as 64 lower-case hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def digest_statement(statement: str, accept_label: str, decline_label: str) -> str:
    """Return the SHA-256 of statement, LF, accept label, LF, decline label. Labels contain no line end, so the parts stay distinct."""
    return digest(f"{statement}\n{accept_label}\n{decline_label}")


def freeze_text(body: str, locale: str) -> dict[str, str]:
    """Render a text to HTML and plain text, which are stored permanently. Keys are the names of the columns (agreements R2)."""
    html, plain = rendering.render_html(body, locale), rendering.render_plain(body)
    return {"html": html, "html_sha256": digest(html), "plain": plain, "plain_sha256": digest(plain)}


def check_declaration(kind: str, region: str, minors: str, groups: Collection[str]) -> Problem | None:
    """Return the reason to refuse an agreement with these values, or None. `groups`: names of the configured region groups."""
    if not _is_region(region, groups):
        facts = field_error("/region", problems.AgreementRegionUnknown.code, "is not a region that an end user can have")
        return problems.AgreementRegionUnknown(facts=facts)
    if kind == AgreementKind.NOTICE and minors != Minors.ALLOW:
        facts = field_error("/minors", problems.AgreementMinorsImpossible.code, "must be `allow` for a notice")
        return problems.AgreementMinorsImpossible(facts=facts)
    return None


def _is_region(region: str, groups: Collection[str]) -> bool:
    """Return whether the region has a valid form. A group has no subdivisions; country codes are not looked up."""
    country, dash, _ = region.partition("-")
    is_country = len(country) == COUNTRY_LETTERS and country.isalpha()
    return region == WORLD_REGION or region in groups or (is_country and not (dash and country in groups))


def check_required_texts(required: Iterable[str], available: Collection[str]) -> Problem | None:
    """Return the problem if a required language has no text, not even in a narrower form."""
    missing: list[Fact] = [locale for locale in required if not any(covers_language([locale], tag) for tag in available)]
    return problems.AgreementRequiredTextMissing(facts={"locales": missing}) if missing else None


def check_default_locale(old: str, new: str, published: Collection[Version]) -> Problem | None:
    """Return the problem if the default language changes after publishing: only the old one is sure to have a text in each version."""
    return problems.AgreementDefaultLocaleFixed(facts={"locale": old}) if published and new != old else None


def find_previous(ordinal: int | None, published: Iterable[Version]) -> Version | None:
    """Return the version before `ordinal`; for a draft (None), the latest version."""
    earlier = (version for version in published if ordinal is None or version.ordinal < ordinal)
    return max(earlier, key=lambda version: version.ordinal, default=None)


def find_state(version_id: UUID, versions: Iterable[Version], now: datetime) -> VersionState:
    """Return the state of a version that is not cancelled (agreements R7). `versions`: all published versions of its document."""
    published = {version.id: version for version in versions}
    if version_id not in published:
        return "draft"
    if now < published[version_id].effective_at:
        return "scheduled"
    current = find_current(published.values(), now)
    return "effective" if current is not None and current.id == version_id else "superseded"


def needs_changes(change_class: str, has_predecessor: bool) -> bool:
    """Return whether every text needs a summary of changes: in a material version after the first (agreements R4)."""
    return has_predecessor and change_class == ChangeClass.MATERIAL


@dataclass(frozen=True)
class Publication:
    """A version about to be published.

    `changes`: for each language that has a text, its summary of changes. `published`: the earlier versions without the cancelled ones.
    """

    change_class: str
    default_locale: str
    changes: Mapping[str, str | None]
    published: tuple[Version, ...]
    effective_at: datetime
    grace_until: datetime | None
    required_locales: tuple[str, ...] = ()


def check_publication(publication: Publication, now: datetime) -> Problem | None:
    """Return the first reason not to publish, or None (agreements R4). Statement and labels need no check: they cannot be null."""
    return next((problem for check in _CHECKS if (problem := check(publication, now)) is not None), None)


def _check_first_is_material(publication: Publication, now: datetime) -> Problem | None:
    is_allowed = publication.published or publication.change_class == ChangeClass.MATERIAL
    return None if is_allowed else problems.AgreementFirstNotMaterial()


def _check_default_text(publication: Publication, now: datetime) -> Problem | None:
    locale = publication.default_locale
    return None if locale in publication.changes else problems.AgreementDefaultTextMissing(facts={"locale": locale})


def _check_required_texts(publication: Publication, now: datetime) -> Problem | None:
    return check_required_texts(publication.required_locales, publication.changes)


def _check_changes(publication: Publication, now: datetime) -> Problem | None:
    missing: list[Fact] = [locale for locale, text in sorted(publication.changes.items()) if text is None]
    if not missing or not needs_changes(publication.change_class, bool(publication.published)):
        return None
    return problems.AgreementChangesMissing("Send `changes` in every language.", {"locales": missing})


def _check_none_scheduled(publication: Publication, now: datetime) -> Problem | None:
    scheduled = find_scheduled(publication.published, now)
    if scheduled is None:
        return None
    facts: dict[str, Fact] = {"version": str(scheduled.id), "effective_at": instant_text(scheduled.effective_at)}
    return problems.AgreementAlreadyScheduled(facts=facts)


def _check_dates(publication: Publication, now: datetime) -> Problem | None:
    # The check before this one left no scheduled version, so "after every published version" means "not before now".
    if publication.effective_at < now:
        return problems.AgreementDatesImpossible("`effective_at` must not be in the past.")
    if publication.grace_until is not None and publication.grace_until < publication.effective_at:
        return problems.AgreementDatesImpossible("`grace_until` must not be before `effective_at`.")
    return None


_CHECKS: tuple[Callable[[Publication, datetime], Problem | None], ...] = (
    _check_first_is_material,
    _check_default_text,
    _check_required_texts,
    _check_changes,
    _check_none_scheduled,
    _check_dates,
)
