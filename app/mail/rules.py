"""Pure rules of letters: language, waits between tries, required facts, and safe text."""

import unicodedata
from collections.abc import Mapping
from datetime import timedelta

from app.background.outbox import Backoff
from app.base.languages import choose_language
from app.mail.models import Template

BACKOFF = Backoff([timedelta(minutes=minutes) for minutes in (1, 4, 16, 64, 256, 360, 360)])
"""Eight tries in about eighteen hours."""
MAX_FACT_LENGTH = 200

DEFAULT_LANGUAGE = "en"
LANGUAGES = ("en", "nb", "ru", "zh-Hans")

FACTS: Mapping[Template, frozenset[str]] = {
    Template.VERIFY_EMAIL: frozenset({"token", "expires"}),
    Template.RESET_PASSWORD: frozenset({"token", "expires"}),
    Template.EMAIL_CHANGE_VERIFY: frozenset({"token", "expires"}),
    Template.EMAIL_CHANGE_NOTICE: frozenset({"address", "when"}),
    Template.EMAIL_CHANGED: frozenset({"address", "when"}),
    Template.ADDRESS_TAKEN: frozenset({"when"}),
    Template.NEW_LOGIN: frozenset({"when", "ip", "agent"}),
    Template.FACTOR_ADDED: frozenset({"kind", "when"}),
    Template.FACTOR_REMOVED: frozenset({"kind", "when"}),
    Template.FACTORS_RESET: frozenset({"when"}),
    Template.PASSKEY_SUSPECTED: frozenset({"when"}),
    Template.RECOVERY_CODE_USED: frozenset({"left", "when"}),
    Template.RECOVERY_CODES_RENEWED: frozenset({"when"}),
    Template.PASSWORD_CHANGED: frozenset({"when"}),
    Template.ACCOUNT_LOCKED: frozenset({"token", "expires", "when"}),
    Template.LOGIN_CODE: frozenset({"token", "expires"}),
    Template.ACCOUNT_ERASED: frozenset({"when"}),
}
"""The facts of each letter. All are required."""


def choose_letter_language(locale: str | None) -> str:
    """Choose the language of a letter by RFC 4647 lookup for a BCP 47 tag; English if none fits.

    Never chooses another script: readers of traditional Chinese (Taiwan, Hong Kong, Macau) get English. Nynorsk readers get bokmål.
    """
    preferred = () if locale is None else (locale, "nb") if locale.lower().partition("-")[0] == "nn" else (locale,)
    return choose_language(LANGUAGES, preferred, (DEFAULT_LANGUAGE,)).served


def to_plain_line(text: str) -> str:
    """Put text on one line of at most `MAX_FACT_LENGTH` characters, without control and format characters.

    Text from outside (a user agent, a name) can then not forge a line of a letter.
    """
    categories = ((character, unicodedata.category(character)) for character in text)
    safe = ("" if category == "Cf" else " " if category[0] in "CZ" else character for character, category in categories)
    return " ".join("".join(safe).split())[:MAX_FACT_LENGTH]


def break_encoded_words(text: str) -> str:
    """Break the start of encoded words (RFC 2047). Mail readers would decode them to other text, even to line ends."""
    return text.replace("=?", "= ?")
