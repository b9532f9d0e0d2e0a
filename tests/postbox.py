"""A real SMTP server on loopback that stores the e-mails it receives, or refuses them."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from pydantic import SecretStr

from app.config.settings import Settings
from app.mail import outbox
from app.mail.transports import Smtp, create_transport
from app.world import World

SENDER = "Licentia <no-reply@licentia.example>"
TAKEN = "250 OK"


@dataclass(frozen=True)
class Received:
    """One letter as the server received it."""

    to: list[str]
    message: EmailMessage
    wire: bytes

    @classmethod
    def read(cls, to: list[str], wire: bytes) -> "Received":
        message = message_from_bytes(wire, policy=default)
        assert isinstance(message, EmailMessage)
        return cls(to, message, wire)

    def part(self, kind: str) -> str:
        """Return the text of the part `plain` or `html`."""
        body = self.message.get_body(preferencelist=(kind,))
        assert body is not None
        return str(body.get_content())

    @property
    def token(self) -> str:
        """The one-time token of the letter, which is on a separate line."""
        return next(line for line in self.part("plain").splitlines() if line.startswith(("vfy_", "rst_")))


@dataclass
class Postbox:
    """The server and its letters.

    `refuse_recipient` and `refuse_letter` are its responses; while `gate` exists and is not set, it does not respond to a letter;
    `rude`: it closes the connection instead of responding to QUIT.
    """

    port: int = 0
    received: list[Received] = field(default_factory=list)
    refuse_recipient: str = TAKEN
    refuse_letter: str = TAKEN
    gate: asyncio.Event | None = None
    rude: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refuse_recipient == TAKEN:
            envelope.rcpt_tos.append(address)
        return self.refuse_recipient

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.refuse_letter == TAKEN:
            wire = envelope.content
            assert isinstance(wire, bytes)
            self.received.append(Received.read(list(envelope.rcpt_tos), wire))
        return self.refuse_letter

    async def handle_QUIT(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        if self.rude and server.transport is not None:
            server.transport.close()
        return "221 Bye"

    def log_in(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, credentials: Any) -> AuthResult:
        self.logins.append((credentials.login, credentials.password))
        return AuthResult(success=True)

    def settings(self, settings: Settings, **more: Any) -> Settings:
        """Return the settings with this server as the mail server."""
        url = SecretStr(f"smtp://127.0.0.1:{self.port}?tls=off")
        return settings.model_copy(update={"smtp_url": url, "mail_from": SENDER, **more})

    async def collected(self, world: World) -> list[Received]:
        """Deliver all due letters; return and remove the received ones."""
        transport = create_transport(world.settings)
        assert isinstance(transport, Smtp)
        while await outbox.deliver_due(world, transport):
            pass
        letters, self.received = self.received, []
        return letters

    async def letter(self, world: World) -> Received:
        """Deliver all due letters; return the last one. Notices about the test's own preparations may precede it."""
        *_, last = await self.collected(world)
        return last


@asynccontextmanager
async def open_postbox(tls: ssl.SSLContext | None = None) -> AsyncIterator[Postbox]:
    """Run a server during the block. With `tls` it requires STARTTLS and a login."""
    postbox = Postbox()
    logging.getLogger("mail.log").setLevel("WARNING")  # aiosmtpd would log the letters

    def serve() -> SMTP:
        options: dict[str, Any] = {"tls_context": tls, "require_starttls": True, "auth_required": True} if tls else {}
        return SMTP(postbox, enable_SMTPUTF8=True, authenticator=postbox.log_in, **options)

    async with _listening(serve, postbox):
        yield postbox


@asynccontextmanager
async def _listening(serve: Callable[[], SMTP], postbox: Postbox) -> AsyncIterator[None]:
    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", postbox.port)
    postbox.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        if postbox.gate is not None:
            postbox.gate.set()
        server.close()
