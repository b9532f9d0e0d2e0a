"""The rules that allow or refuse a decision on a presented text. Each has its own problem code. Pure: no I/O, no clock."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.agreements.models import AgreementKind, EventType, Minors
from app.agreements.obligations import Obligation
from app.agreements.problems import AcceptCurrentFirst, GuardianRequired, MinorsDenied, NotDecidable, RequiredLocaleNotPresented
from app.base.languages import covers_language
from app.base.problems import Fact, Problem
from app.db.types import AnyRow
from app.users.models import AgeBand


@dataclass(frozen=True)
class DecisionFacts:
    """A decision on a presented text, and the facts that the rules need.

    `presentation`: a row of `PRESENTATION_DETAILS`. `locales`: all languages in which this end user has seen this version; they are only
    loaded if the document requires some.
    """

    type: EventType
    presentation: AnyRow
    obligation: Obligation
    now: datetime
    locales: Collection[str]


def find_refusal(decision: DecisionFacts) -> Problem | None:
    """Return the first reason to refuse, or None. Declining is refused only for a notice."""
    checks = _ACCEPTING if decision.type is EventType.ACCEPTED else _DECLINING
    return next((problem for check in checks if (problem := check(decision)) is not None), None)


def check_age(age_band: str, minors: str) -> Problem | None:
    """Return the problem if an end user of this age band may not accept (agreements R13), by decision or by import."""
    if age_band != AgeBand.MINOR or minors == Minors.ALLOW:
        return None
    return GuardianRequired() if minors == Minors.REQUIRE_GUARDIAN else MinorsDenied()


def check_languages(required: Sequence[str], locales: Collection[str]) -> Problem | None:
    """Return the problem if none of the languages seen is a required one (agreements R18). None if nothing is required."""
    if not required or any(covers_language(required, locale) for locale in locales):
        return None
    names: list[Fact] = [*required]
    return RequiredLocaleNotPresented(facts={"locales": names})


def _check_decidable(decision: DecisionFacts) -> Problem | None:
    return NotDecidable() if decision.presentation.kind == AgreementKind.NOTICE else None


def _check_age(decision: DecisionFacts) -> Problem | None:
    """Check the age band (agreements R13). An end user of unknown age counts as an adult; the receipt says `unknown`."""
    return check_age(decision.presentation.age_band, decision.presentation.minors)


def _check_current_first(decision: DecisionFacts) -> Problem | None:
    """Refuse to accept a scheduled version while an acceptance is owed (agreements R10): a higher ordinal would cover that one too."""
    if decision.presentation.effective_at <= decision.now or not decision.obligation.list_owed(decision.now):
        return None
    return AcceptCurrentFirst(facts={"required": decision.obligation.required_ordinal(decision.now)})


def _check_required_language(decision: DecisionFacts) -> Problem | None:
    """Require that the user has seen the version in a required language, in any presentation (agreements R18)."""
    return check_languages(decision.presentation.required_locales, decision.locales)


Check = Callable[[DecisionFacts], Problem | None]
_DECLINING: tuple[Check, ...] = (_check_decidable,)
_ACCEPTING: tuple[Check, ...] = (_check_decidable, _check_age, _check_current_first, _check_required_language)
