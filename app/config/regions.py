"""Groups of countries that share an agreement. They come from the settings; the caller's location is never determined."""

from collections.abc import Mapping
from functools import cache

EUROPEAN_UNION = "EU=AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
COUNTRY_LETTERS = 2


@cache
def parse_region_groups(text: str) -> Mapping[str, frozenset[str]]:
    """Return the countries (ISO 3166-1 alpha-2) of `EU=AT BE …, EEA=AT … NO` by group name. Raises ValueError."""
    groups: dict[str, frozenset[str]] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, members = item.partition("=")
        codes = frozenset(members.upper().split())
        if not equals or not name.strip().isalnum() or not codes or any(len(code) != COUNTRY_LETTERS for code in codes):
            raise ValueError("must be groups of two-letter country codes, such as NORDICS=DK FI NO SE, separated by commas")
        groups[name.strip().upper()] = codes
    return groups


def check_region_groups(text: str) -> str:
    """Return the text. Raises ValueError if `parse_region_groups` cannot read it."""
    parse_region_groups(text)
    return text
