"""Registering oneself: nothing but a sealed wish until the mailbox is proven, so that a squatter holds nothing (authentication R77, R78).

Every address gets the same answer after the same statements; what is so is told by mail to whoever owns the mailbox (authentication R50). Each
wish stands, also one that no letter is sent for any more: the proof finds that the address is disputed (see `mailbox`).
"""

from dataclasses import dataclass, field
from typing import Any

from app.db.database import Transaction
from app.db.types import AnyRow
from app.login import mailed_tokens
from app.login.account import lookup, mail_limits
from app.login.account.mail_limits import LetterPurpose
from app.login.factors import passwords
from app.login.mailed_tokens import Purpose
from app.login.problems import RegistrationClosed
from app.mail.models import Template
from app.mail.service import Recipient, enqueue_letter
from app.web.callers import Origin
from app.world import World


@dataclass(frozen=True)
class Registration:
    """What somebody asks for who may be anybody."""

    email: str
    password: str = field(repr=False)
    display_name: str | None
    locale: str | None


async def register(world: World, origin: Origin, wish: Registration) -> None:
    """Ask for an account. Raises RegistrationClosed, Malformed, TooManyAttempts; never tells whether there is one."""
    if world.settings.registration != "open":
        raise RegistrationClosed
    await mail_limits.count_from_network(world, origin)
    hashed = await passwords.check_and_hash(world, wish.password, wish.email, "/password")
    admitted = await mail_limits.count_to_address(world, LetterPurpose.REGISTER, wish.email)
    async with world.db.query() as tx:
        known = await lookup.find_by_address(tx, wish.email)
    async with world.db.write() as tx:
        if known is None:
            hung = {"email": wish.email, "display_name": wish.display_name, "locale": wish.locale, "password_hash": hashed}
            await store_pending(tx, world, hung, mailed=admitted)
        elif admitted and lookup.active_or_none(known) is not None:
            await _mail_existing_owner(tx, world, known)
        else:
            await _imitate(tx, world)


async def store_pending(tx: Transaction, world: World, hung: dict[str, Any], *, mailed: bool) -> None:
    """A registration that waits for its proof, and the letter with it if there is to be one: each with an `attempt` of its own."""
    attempt, subject = world.entropy.identifier().hex, mailed_tokens.digest_address(world, hung["email"])
    made = await mailed_tokens.issue(tx, world, Purpose.REGISTER, subject=subject, **{**hung, "attempt": attempt})
    to = Recipient(hung["email"], hung["locale"]) if mailed else None
    await enqueue_letter(tx, world, to, Template.VERIFY_EMAIL, {"token": made.token, "expires": made.expires_at})


async def _mail_existing_owner(tx: Transaction, world: World, row: AnyRow) -> None:
    """There is an account: its owner is told so, or asked again for the proof that is still due. The new password counts for nothing."""
    if row.email_verified_at is None:
        await mail_verification(tx, world, row)
    else:
        await mailed_tokens.issue(tx, world, Purpose.REGISTER)
        await lookup.mail_owner(tx, world, row, Template.ADDRESS_TAKEN, {"when": world.clock.now()})


async def mail_verification(tx: Transaction, world: World, row: AnyRow) -> None:
    """A fresh token to the address of an account that was never proven."""
    made = await mailed_tokens.issue(tx, world, Purpose.VERIFY, owner=row)
    await lookup.mail_owner(tx, world, row, Template.VERIFY_EMAIL, {"token": made.token, "expires": made.expires_at})


async def _imitate(tx: Transaction, world: World) -> None:
    """The same work for nobody."""
    made = await mailed_tokens.issue(tx, world, Purpose.REGISTER)
    await enqueue_letter(tx, world, None, Template.VERIFY_EMAIL, {"token": made.token, "expires": made.expires_at})


async def resend(world: World, origin: Origin, identifier: str) -> None:
    """Mail the proof of an address again, if one is due. Raises TooManyAttempts, MailNotConfigured.

    Anybody may ask for it, so the proof of a registration that comes of it carries no password, and lets none of before count.
    """
    lookup.require_mail(world)
    admitted = await mail_limits.count_letter(world, origin, LetterPurpose.RESEND, identifier)
    async with world.db.query() as tx:
        known = await lookup.find_by_address(tx, identifier)
        waits = await mailed_tokens.list_registrations(tx, world, identifier)
    async with world.db.write() as tx:
        if admitted and known is not None and lookup.active_or_none(known) and known.email_verified_at is None:
            await mail_verification(tx, world, known)
        elif admitted and known is None and waits:
            newest = mailed_tokens.read_payload(world, waits[0])
            await store_pending(tx, world, {name: newest[name] for name in ("email", "display_name", "locale")}, mailed=True)
        else:
            await _imitate(tx, world)
