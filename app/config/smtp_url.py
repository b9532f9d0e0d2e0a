"""The mail server's URL and the sender's address, as settings write them. Errors never repeat the value."""

from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

TLS_PORT, STARTTLS_PORT = 465, 587
_EXPECTED = "must be smtp://user:password@host (STARTTLS), smtps://user:password@host (TLS) or smtp://host?tls=off"


@dataclass(frozen=True)
class SmtpAddress:
    """The mail server. `tls`: TLS from the first byte (`smtps`). `starttls`: required, because an attacker could remove an optional one."""

    host: str
    port: int
    tls: bool
    starttls: bool
    username: str | None
    password: str | None = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the URL. Raises ValueError, which never repeats the text."""
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError:
            raise ValueError(_EXPECTED) from None
        plain = url.query == "tls=off"
        is_valid = url.scheme in {"smtp", "smtps"} and url.path in {"", "/"} and not url.fragment and (plain or not parse_qs(url.query))
        if not is_valid or not url.hostname or (plain and (url.scheme == "smtps" or url.password is not None)):
            raise ValueError(_EXPECTED)
        return cls(
            host=url.hostname,
            port=port or (TLS_PORT if url.scheme == "smtps" else STARTTLS_PORT),
            tls=url.scheme == "smtps",
            starttls=url.scheme == "smtp" and not plain,
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
        )


def parse_sender(text: str) -> Address:
    """Read `Name <someone@example.com>` or the address alone. Raises ValueError, which never repeats the text."""
    name, spec = parseaddr(text)
    try:
        address = Address(name, addr_spec=spec)
    except (ValueError, IndexError, MessageError):
        address = Address()
    if not address.domain or not address.username or not spec.isascii() or not text.isprintable():
        raise ValueError("must be an address such as `Licentia <no-reply@example.com>`")
    return address
