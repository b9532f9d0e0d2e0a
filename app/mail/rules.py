"""Which language a letter is written in, how long to wait after a miss, and what may stand in a letter. Pure."""

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta

from app.base.languages import choose_language
from app.mail.models import Template

WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 4, 16, 64, 256, 360, 360))
"""After the first miss, the second, …: eight tries in some eighteen hours."""
TRIES = len(WAITS) + 1
FACT_LENGTH = 200

DEFAULT = "en"
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
"""What each letter must be told, no more and no less."""


def language(locale: str | None) -> str:
    """The language to write in, by RFC 4647 lookup for a BCP 47 tag. Never another script: Chinese readers of Taiwan, Hong Kong
    and Macau are written to in English, since their own script is not here. Who reads nynorsk reads bokmål."""
    wishes = () if locale is None else (locale, "nb") if locale.lower().partition("-")[0] == "nn" else (locale,)
    return choose_language(LANGUAGES, wishes, (DEFAULT,)).served


def next_try(attempts: int, now: datetime) -> datetime | None:
    """When to try again after this many attempts; None when it is time to give up."""
    return now + WAITS[attempts - 1] if attempts < TRIES else None


def plain(text: str) -> str:
    """The text on one line of limited length. What came from outside (an agent, a name) cannot forge a line of a letter."""
    signs = ("" if unicodedata.category(sign) == "Cf" else " " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    return " ".join("".join(signs).split())[:FACT_LENGTH]


def unencoded(text: str) -> str:
    """The text without the beginning of an encoded word (RFC 2047): a header would be read as what it decodes to, line ends too."""
    return text.replace("=?", "= ?")
