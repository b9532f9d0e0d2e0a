"""How a letter leaves: by SMTP, or in development as a file in a folder. Neither looks into it."""

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

TIMEOUT, GOODBYE = 30.0, 2.0
_FINAL = range(550, 555)
"""Answers to a recipient or to a letter that the next try would get again (RFC 5321 section 4.2.3)."""

Transport: TypeAlias = Callable[[EmailMessage], Awaitable[None]]
"""Hands one message over, or raises."""


@dataclass(frozen=True)
class Smtp:
    """One connection for each message; the server's certificate is checked against its name."""

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
            with suppress(aiosmtplib.SMTPException, OSError):  # what the server took it has, however it says goodbye
                await server.quit(timeout=GOODBYE)
            server.close()


@dataclass(frozen=True)
class Folder:
    """A file for each message, for the owner's eyes alone: it holds what the letter holds."""

    path: Path

    async def __call__(self, message: EmailMessage) -> None:
        await to_thread.run_sync(self._keep, message)

    def _keep(self, message: EmailMessage) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self.path / f"{message['Message-ID'].strip('<>').partition('@')[0]}.eml"
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(message.as_bytes())


def transport_of(settings: Settings) -> Transport | None:
    """What the settings say; None where there is no mailer."""
    if (address := settings.smtp_address()) is not None:
        return Smtp(address, parse_sender(settings.mail_from).domain)
    return Folder(settings.var / "mail") if settings.mail_configured else None


def hopeless(error: Exception) -> bool:
    """Whether another try would end the same: the server knows no such mailbox, or will not have this letter."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(each.code in _FINAL for each in error.recipients)
    return isinstance(error, aiosmtplib.SMTPDataError) and error.code in _FINAL


def named(error: Exception) -> str:
    """The class of an error and the server's number; never its text, which may hold an address."""
    codes = [each.code for each in error.recipients] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else []
    code = codes[0] if codes else getattr(error, "code", None)
    return f"{type(error).__name__} {code}"[:64] if isinstance(code, int) else type(error).__name__[:64]
