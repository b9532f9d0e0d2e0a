"""What a set of requirements means: what implies what, and what can never be met."""

from collections.abc import Iterable

from app.catalog.models import Requirement, SeatBy

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
