"""Normalise identifiers for comparison, and decide which changes of an age band users may make."""

import unicodedata

from app.users.models import AgeBand

_AGES = (AgeBand.UNKNOWN, AgeBand.MINOR, AgeBand.ADULT)


def fold_identifier(identifier: str) -> str:
    """Normalise an identifier for storage and lookup: trim, NFKC, case folding, NFKC again (authentication R38)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", identifier.strip()).casefold())


def may_change_age_band(current: str, requested: str) -> bool:
    """Whether the user may change the age band without staff: upwards only (agreements P2)."""
    return _AGES.index(AgeBand(requested)) >= _AGES.index(AgeBand(current))
