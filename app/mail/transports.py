"""Transports of e-mail: SMTP, or in development a file in a folder."""

import os
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import TypeAlias

import aiosmtplib
from anyio import to_thread

from app.config.settings import Settings
from app.config.smtp_url import SmtpAddress, parse_sender

TIMEOUT, QUIT_TIMEOUT = 30.0, 2.0
_PERMANENT = range(550, 555)
"""Reply codes of permanent failures: a retry would get the same reply (RFC 5321 section 4.2.3)."""

Transport: TypeAlias = Callable[[EmailMessage], Awaitable[None]]
"""Delivers one message, or raises."""


@dataclass(frozen=True)
class Smtp:
    """Opens one connection for each message, and verifies the server's certificate and host name."""

    address: SmtpAddress
    hello: str
    context: ssl.SSLContext = field(repr=False, default_factory=ssl.create_default_context)

    async def __call__(self, message: EmailMessage) -> None:
        server = aiosmtplib.SMTP(
            hostname=self.address.host,
            port=self.address.port,
            username=self.address.username,
            password=self.address.password,
            local_hostname=self.hello,
            use_tls=self.address.tls,
            start_tls=self.address.starttls,
            tls_context=self.context if self.address.tls or self.address.starttls else None,
            timeout=TIMEOUT,
        )
        await server.connect()
        try:
            await server.send_message(message)
        finally:
            with suppress(aiosmtplib.SMTPException, OSError):  # the message is accepted even if QUIT fails
                await server.quit(timeout=QUIT_TIMEOUT)
            server.close()


@dataclass(frozen=True)
class Folder:
    """Writes each message to a file that only its owner can read, because it contains tokens."""

    path: Path

    async def __call__(self, message: EmailMessage) -> None:
        await to_thread.run_sync(self._write, message)

    def _write(self, message: EmailMessage) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self.path / f"{message['Message-ID'].strip('<>').partition('@')[0]}.eml"
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(message.as_bytes())


def create_transport(settings: Settings) -> Transport | None:
    """Create the configured transport; None if mail is not configured."""
    if (address := settings.smtp_address()) is not None:
        return Smtp(address, parse_sender(settings.mail_from).domain)
    return Folder(settings.var / "mail") if settings.mail_configured else None


def is_permanent(error: Exception) -> bool:
    """Return whether another try would fail too: the server does not know the mailbox, or rejects the letter."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(refusal.code in _PERMANENT for refusal in error.recipients)
    return isinstance(error, aiosmtplib.SMTPDataError) and error.code in _PERMANENT


def describe_error(error: Exception) -> str:
    """Return the class of an error and the server's reply code; never its text, which may contain an address."""
    codes = [refusal.code for refusal in error.recipients] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else []
    code = codes[0] if codes else getattr(error, "code", None)
    return f"{type(error).__name__} {code}"[:64] if isinstance(code, int) else type(error).__name__[:64]
