"""How a name is recognised again."""

import unicodedata


def folded(identifier: str) -> str:
    """The one form under which an identifier is stored and looked up: trimmed, NFKC, case folded, NFKC again (R38)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", identifier.strip()).casefold())
