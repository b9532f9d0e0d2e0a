"""Where mail is handed over and from whom it is, as configured. Opens no connection and repeats no part of what is wrong."""

from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from app.config.weak_secrets import guessable

TLS_PORT, STARTTLS_PORT = 465, 587
_FORM = "wants smtp://user:password@host (STARTTLS), smtps://… (TLS), or smtp://host?tls=off without a password"


@dataclass(frozen=True)
class SmtpAddress:
    """`smtps` is TLS from the first byte; `smtp` insists on STARTTLS, for a merely possible one can be stripped off."""

    host: str
    port: int
    tls: bool
    starttls: bool
    username: str | None
    password: str | None = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError without repeating the text."""
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError:
            raise ValueError(_FORM) from None
        plain = url.query == "tls=off"
        known = url.scheme in {"smtp", "smtps"} and url.path in {"", "/"} and not url.fragment and (plain or not parse_qs(url.query))
        if not known or not url.hostname or (plain and (url.scheme == "smtps" or url.password is not None)):
            raise ValueError(_FORM)
        return cls(
            host=url.hostname,
            port=port or (TLS_PORT if url.scheme == "smtps" else STARTTLS_PORT),
            tls=url.scheme == "smtps",
            starttls=url.scheme == "smtp" and not plain,
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
        )

    @property
    def guessable(self) -> bool:
        return self.password is not None and guessable(self.password, [self.username or ""])


def parse_sender(text: str) -> Address:
    """`Name <someone@example.com>` or the address alone. Raises ValueError without repeating the text."""
    name, address = parseaddr(text)
    try:
        made = Address(name, addr_spec=address)
    except (ValueError, IndexError, MessageError):
        made = Address()
    if not made.domain or not made.username or not address.isascii() or not text.isprintable():
        raise ValueError("wants Name <someone@example.com>")
    return made
