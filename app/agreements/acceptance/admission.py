"""Whether a decision may be taken of what was shown: each rule with its own code. Pure: no I/O, no clock."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.agreements.models import EventType, Kind, Minors
from app.agreements.obligations import Obligation
from app.agreements.problems import AcceptCurrentFirst, GuardianRequired, MinorsDenied, NotDecidable, RequiredLocaleNotPresented
from app.base.languages import covers
from app.base.problems import Fact, Problem
from app.db.types import AnyRow
from app.users.models import AgeBand


@dataclass(frozen=True)
class DecisionFacts:
    """What is said of what was shown (a row of `presentations.SHOWN`), by an end user who stands like this with the document.

    `locales`: all languages in which this end user was ever shown this version; nobody has to know them unless some are required.
    """

    type: EventType
    shown: AnyRow
    duty: Obligation
    now: datetime
    locales: Collection[str]


def find_refusal(case: DecisionFacts) -> Problem | None:
    """The first reason to refuse, if there is one. Declining is refused only where there is nothing to decide."""
    checks = _ACCEPTING if case.type is EventType.ACCEPTED else _DECLINING
    return next((problem for check in checks if (problem := check(case)) is not None), None)


def check_age(age_band: str, minors: str) -> Problem | None:
    """What a document says to an end user of this age band (agreements R13), whoever tells of the acceptance."""
    if age_band != AgeBand.MINOR or minors == Minors.ALLOW:
        return None
    return GuardianRequired() if minors == Minors.REQUIRE_GUARDIAN else MinorsDenied()


def check_languages(wanted: Sequence[str], locales: Collection[str]) -> Problem | None:
    """Whether one of these languages is one that the law demands; none is as good as any where nothing is demanded (agreements R18)."""
    if not wanted or any(covers(wanted, locale) for locale in locales):
        return None
    listed: list[Fact] = [*wanted]
    return RequiredLocaleNotPresented(facts={"locales": listed})


def _decidable(case: DecisionFacts) -> Problem | None:
    return NotDecidable() if case.shown.kind == Kind.NOTICE else None


def _of_age(case: DecisionFacts) -> Problem | None:
    """Agreements R13. Who has not told an age is taken for an adult; the receipt says `unknown`."""
    return check_age(case.shown.age_band, case.shown.minors)


def _current_first(case: DecisionFacts) -> Problem | None:
    """Agreements R10: a scheduled version is accepted early only by who owes nothing, so that the one ordinal stays true."""
    if case.shown.effective_at <= case.now or not case.duty.list_owed(case.now):
        return None
    return AcceptCurrentFirst(facts={"required": case.duty.required_ordinal(case.now)})


def _in_a_required_language(case: DecisionFacts) -> Problem | None:
    """Agreements R18: any of the languages that the law demands, in whichever presentation of this version."""
    return check_languages(case.shown.required_locales, case.locales)


Check = Callable[[DecisionFacts], Problem | None]
_DECLINING: tuple[Check, ...] = (_decidable,)
_ACCEPTING: tuple[Check, ...] = (_decidable, _of_age, _current_first, _in_a_required_language)
