"""What a set of requirements means and what can never be met; which fields of a policy do not go together."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.catalog.models import Requirement, SeatBy, Starts

_IMPLIES = {
    Requirement.SECOND_FACTOR: Requirement.LOGIN,
    Requirement.PASSKEY: Requirement.LOGIN,
    Requirement.EULA: Requirement.LOGIN,
    Requirement.ACTIVATION: Requirement.LICENSE,
}


def add_implied(requires: Iterable[str]) -> list[str]:
    """The requirements with everything that they imply, each once, in the order of judgement."""
    wanted = {Requirement(item) for item in requires}
    wanted |= {_IMPLIES[item] for item in wanted if item in _IMPLIES}
    return [item.value for item in Requirement if item in wanted]


def find_impossible(requires: Iterable[str], seat_by: str | None, passkeys: bool) -> str | None:
    """The requirement that nobody could ever meet, if there is one. `seat_by` is None for a product by itself."""
    wanted = set(requires)
    if Requirement.PASSKEY in wanted and not passkeys:
        return Requirement.PASSKEY
    if Requirement.ACTIVATION in wanted and seat_by == SeatBy.NONE:
        return Requirement.ACTIVATION
    return None


Values = Mapping[str, Any]
WITH_SEATS = {SeatBy.DEVICE, SeatBy.USER, SeatBy.DEVICE_PER_USER, SeatBy.SESSION}
SEATED_BY_USER = {SeatBy.USER, SeatBy.DEVICE_PER_USER}
_NONE_BUT = "Seats want a `seat_by` other than `none`."
_TRIAL = "A trial is once for each device: it wants `seat_by` `device`."
Row = tuple[Callable[[Values], bool], str, str]
_CONTRADICTIONS: tuple[Row, ...] = (
    (lambda it: it["max_seats"] is not None, "max_seats", _NONE_BUT),
    (lambda it: bool(it["lease"]), "lease", _NONE_BUT),
    (lambda it: bool(it["extra_seats"]), "extra_seats", _NONE_BUT),
    (lambda it: bool(it["starts"] == Starts.FIRST_ACTIVATION), "starts", "Without seats nothing is ever activated first."),
    (lambda it: bool(it["trial"]), "trial", _TRIAL),
)
_SEATED_CONTRADICTIONS: tuple[Row, ...] = (
    (lambda it: it["max_seats"] is None, "max_seats", 'Seats want `max_seats`: a number, or "unlimited".'),
    (lambda it: it["seat_by"] == SeatBy.SESSION and it["lease"] is None, "lease", "A process's seat wants a `lease`: crashes keep none."),
    (lambda it: bool(it["trial"]) and it["seat_by"] != SeatBy.DEVICE, "trial", _TRIAL),
)


def find_contradiction(policy: Values) -> tuple[str, str] | None:
    """(field, sentence) of what does not go together in a policy, or in a license with its overrides; None if all does."""
    table = _SEATED_CONTRADICTIONS if policy["seat_by"] in WITH_SEATS else _CONTRADICTIONS
    return next(((field, sentence) for wrong, field, sentence in table if wrong(policy)), None)
