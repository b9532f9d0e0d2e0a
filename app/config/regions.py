"""Groups of countries that share an agreement. Told by the configuration; where a call comes from is never asked."""

from collections.abc import Mapping
from functools import cache

EUROPEAN_UNION = "EU=AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
COUNTRY_LETTERS = 2


@cache
def parse_region_groups(text: str) -> Mapping[str, frozenset[str]]:
    """`EU=AT BE …, EEA=AT … NO` to countries (ISO 3166-1, two letters) by the name of their group. Raises ValueError."""
    groups: dict[str, frozenset[str]] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, members = item.partition("=")
        codes = frozenset(members.upper().split())
        if not equals or not name.strip().isalnum() or not codes or any(len(code) != COUNTRY_LETTERS for code in codes):
            raise ValueError("wants NAME=AT BE … groups of two-letter country codes, with commas between")
        groups[name.strip().upper()] = codes
    return groups


def check_region_groups(text: str) -> str:
    """The text itself, if `region_groups` can read it. Raises ValueError."""
    parse_region_groups(text)
    return text
