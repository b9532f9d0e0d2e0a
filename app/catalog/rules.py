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


def closed(requires: Iterable[str]) -> list[str]:
    """The requirements with everything that they imply, each once, in the order of judgement."""
    wanted = {Requirement(item) for item in requires}
    wanted |= {_IMPLIES[item] for item in wanted if item in _IMPLIES}
    return [item.value for item in Requirement if item in wanted]


def impossible(requires: Iterable[str], seat_by: str | None, passkeys: bool) -> str | None:
    """The requirement that nobody could ever meet, if there is one. `seat_by` is None for a product by itself."""
    wanted = set(requires)
    if Requirement.PASSKEY in wanted and not passkeys:
        return Requirement.PASSKEY
    if Requirement.ACTIVATION in wanted and seat_by == SeatBy.NONE:
        return Requirement.ACTIVATION
    return None


Values = Mapping[str, Any]
SEATED = {SeatBy.DEVICE, SeatBy.USER, SeatBy.DEVICE_PER_USER, SeatBy.SESSION}
BY_USER = {SeatBy.USER, SeatBy.DEVICE_PER_USER}
_CONTRADICTIONS: tuple[tuple[Callable[[Values], bool], str], ...] = (
    (lambda it: bool(it["max_seats"] is not None or it["lease"] or it["extra_seats"]), "Seats want a `seat_by` other than `none`."),
    (lambda it: bool(it["starts"] == Starts.FIRST_ACTIVATION), "`first_activation` wants seats: without them nothing is ever activated."),
    (lambda it: bool(it["trial"]), "A trial is once for each device: it wants `seat_by` `device`."),
)
_SEATED_CONTRADICTIONS: tuple[tuple[Callable[[Values], bool], str], ...] = (
    (lambda it: it["max_seats"] is None, 'Seats want `max_seats`: a number, or "unlimited".'),
    (lambda it: it["seat_by"] == SeatBy.SESSION and it["lease"] is None, "A seat for each process wants a `lease`: crashes keep no seat."),
    (lambda it: bool(it["trial"]) and it["seat_by"] != SeatBy.DEVICE, "A trial is once for each device: it wants `seat_by` `device`."),
)  # fmt: skip


def contradiction(policy: Values) -> str | None:
    """The sentence about fields of a policy (or of a license with its overrides) that do not go together, if any do not."""
    table = _SEATED_CONTRADICTIONS if policy["seat_by"] in SEATED else _CONTRADICTIONS
    return next((sentence for wrong, sentence in table if wrong(policy)), None)
