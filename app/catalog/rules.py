"""Expand requirements, and find requirements that can never be met and policy fields that contradict each other."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.catalog.models import ClockStart, Requirement, SeatBy

_IMPLIES = {
    Requirement.SECOND_FACTOR: Requirement.LOGIN,
    Requirement.PASSKEY: Requirement.LOGIN,
    Requirement.EULA: Requirement.LOGIN,
    Requirement.ACTIVATION: Requirement.LICENSE,
}


def add_implied(requires: Iterable[str]) -> list[str]:
    """Add the implied requirements; return each once, in the order in which they are checked."""
    required = {Requirement(item) for item in requires}
    required |= {_IMPLIES[item] for item in required if item in _IMPLIES}
    return [item.value for item in Requirement if item in required]


def find_impossible(requires: Iterable[str], seat_by: str | None, passkeys: bool) -> str | None:
    """Find a requirement that can never be met, or None. `seat_by` is None for a product without a policy."""
    required = set(requires)
    if Requirement.PASSKEY in required and not passkeys:
        return Requirement.PASSKEY
    if Requirement.ACTIVATION in required and seat_by == SeatBy.NONE:
        return Requirement.ACTIVATION
    return None


Values = Mapping[str, Any]
WITH_SEATS = {SeatBy.DEVICE, SeatBy.USER, SeatBy.DEVICE_PER_USER, SeatBy.SESSION}
SEATED_BY_USER = {SeatBy.USER, SeatBy.DEVICE_PER_USER}
_NEEDS_SEATS = "This field requires a `seat_by` other than `none`."
_TRIAL = "A trial is limited to one for each device and requires `seat_by` `device`."
_Check = tuple[Callable[[Values], bool], str, str]
_CONTRADICTIONS: tuple[_Check, ...] = (
    (lambda policy: policy["max_seats"] is not None, "max_seats", _NEEDS_SEATS),
    (lambda policy: bool(policy["lease"]), "lease", _NEEDS_SEATS),
    (lambda policy: bool(policy["extra_seats"]), "extra_seats", _NEEDS_SEATS),
    (lambda policy: bool(policy["starts"] == ClockStart.FIRST_ACTIVATION), "starts", "Without seats there is no first activation."),
    (lambda policy: bool(policy["trial"]), "trial", _TRIAL),
)
_SEATED_CONTRADICTIONS: tuple[_Check, ...] = (
    (lambda policy: policy["max_seats"] is None, "max_seats", 'Seats require `max_seats`: a number, or "unlimited".'),
    (
        lambda policy: policy["seat_by"] == SeatBy.SESSION and policy["lease"] is None,
        "lease",
        "Seats by session require a `lease`, so that crashed processes release theirs.",
    ),
    (lambda policy: bool(policy["trial"]) and policy["seat_by"] != SeatBy.DEVICE, "trial", _TRIAL),
)


def find_contradiction(policy: Values) -> tuple[str, str] | None:
    """Find the first contradiction in a policy, or in a license with its overrides: (field, sentence), or None."""
    checks = _SEATED_CONTRADICTIONS if policy["seat_by"] in WITH_SEATS else _CONTRADICTIONS
    return next(((field, sentence) for is_wrong, field, sentence in checks if is_wrong(policy)), None)
