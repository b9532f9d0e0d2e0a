"""How a name is recognised again, and what of a profile is one's own to change."""

import unicodedata

from app.users.models import AgeBand

_AGES = (AgeBand.UNKNOWN, AgeBand.MINOR, AgeBand.ADULT)


def fold_identifier(identifier: str) -> str:
    """The one form under which an identifier is stored and looked up: trimmed, NFKC, case folded, NFKC again (authentication R38)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", identifier.strip()).casefold())


def may_change_age_band(known: str, told: str) -> bool:
    """Whether an age band may be changed so without staff: upward only (agreements P2)."""
    return _AGES.index(AgeBand(told)) >= _AGES.index(AgeBand(known))
