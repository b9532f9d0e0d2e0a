"""The pure side of agreements: the bytes of a text, and what may be published. No I/O, no clock."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal
from uuid import UUID

from app.agreements.duties import Version, current, scheduled
from app.agreements.models import ChangeClass
from app.agreements.problems import (
    AgreementAlreadyScheduled,
    AgreementChangesMissing,
    AgreementDatesImpossible,
    AgreementDefaultTextMissing,
    AgreementFirstNotMaterial,
)
from app.base.durations import instant_text
from app.base.problems import Fact, Problem


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
        else AgreementAlreadyScheduled(facts={"version": str(waiting.id), "effective_at": instant_text(waiting.effective_at)})
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
