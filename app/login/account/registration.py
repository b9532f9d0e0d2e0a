"""Self-registration: only an encrypted request is stored until the address is verified, which prevents squatting (authentication R77).

Every address gets the same response after the same statements; only an e-mail to its owner says more (authentication R50). Each
request is stored, even if the e-mail limit is exceeded: a second one makes the address disputed (see `mailbox`).
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
class RegistrationRequest:
    """A registration request of an unverified person."""

    email: str
    password: str = field(repr=False)
    display_name: str | None
    locale: str | None


async def register(world: World, origin: Origin, request: RegistrationRequest) -> None:
    """Request an account; the outcome never reveals whether one exists. Raises RegistrationClosed, Malformed, TooManyAttempts."""
    if world.settings.registration != "open":
        raise RegistrationClosed
    await mail_limits.count_from_network(world, origin)
    hashed = await passwords.check_and_hash(world, request.password, request.email, "/password")
    admitted = await mail_limits.count_to_address(world, LetterPurpose.REGISTER, request.email)
    async with world.db.query() as tx:
        account = await lookup.find_by_address(tx, request.email)
    async with world.db.write() as tx:
        if account is None:
            profile = {"email": request.email, "display_name": request.display_name, "locale": request.locale, "password_hash": hashed}
            await store_pending(tx, world, profile, mailed=admitted)
        elif admitted and lookup.keep_if_active(account) is not None:
            await _mail_existing_owner(tx, world, account)
        else:
            await _do_equal_work(tx, world)


async def store_pending(tx: Transaction, world: World, profile: dict[str, Any], *, mailed: bool) -> None:
    """Store a registration until its address is verified, and mail its token if `mailed`. Each has its own `attempt` id."""
    attempt, subject = world.entropy.identifier().hex, mailed_tokens.digest_address(world, profile["email"])
    issued = await mailed_tokens.issue(tx, world, Purpose.REGISTER, subject=subject, **{**profile, "attempt": attempt})
    recipient = Recipient(profile["email"], profile["locale"]) if mailed else None
    await enqueue_letter(tx, world, recipient, Template.VERIFY_EMAIL, {"token": issued.token, "expires": issued.expires_at})


async def _mail_existing_owner(tx: Transaction, world: World, row: AnyRow) -> None:
    """Notify the owner of an existing account, or mail the verification that is still due. The new password is discarded."""
    if row.email_verified_at is None:
        await mail_verification(tx, world, row)
    else:
        await mailed_tokens.issue(tx, world, Purpose.REGISTER)
        await lookup.mail_owner(tx, world, row, Template.ADDRESS_TAKEN, {"when": world.clock.now()})


async def mail_verification(tx: Transaction, world: World, row: AnyRow) -> None:
    """Mail a verification token to the unverified address of an existing account."""
    issued = await mailed_tokens.issue(tx, world, Purpose.VERIFY, owner=row)
    await lookup.mail_owner(tx, world, row, Template.VERIFY_EMAIL, {"token": issued.token, "expires": issued.expires_at})


async def _do_equal_work(tx: Transaction, world: World) -> None:
    """Do the same work without sending an e-mail, so that the response time reveals nothing."""
    issued = await mailed_tokens.issue(tx, world, Purpose.REGISTER)
    await enqueue_letter(tx, world, None, Template.VERIFY_EMAIL, {"token": issued.token, "expires": issued.expires_at})


async def resend(world: World, origin: Origin, identifier: str) -> None:
    """Mail the verification of an address again, if one is due. Raises TooManyAttempts, MailNotConfigured.

    Anyone may request it, so the new token of a registration carries no password and invalidates the earlier passwords.
    """
    lookup.require_mail(world)
    admitted = await mail_limits.count_letter(world, origin, LetterPurpose.RESEND, identifier)
    async with world.db.query() as tx:
        account = await lookup.find_by_address(tx, identifier)
        pending = await mailed_tokens.list_registrations(tx, world, identifier)
    async with world.db.write() as tx:
        if admitted and account is not None and lookup.keep_if_active(account) and account.email_verified_at is None:
            await mail_verification(tx, world, account)
        elif admitted and account is None and pending:
            newest = mailed_tokens.read_payload(world, pending[0])
            await store_pending(tx, world, {name: newest[name] for name in ("email", "display_name", "locale")}, mailed=True)
        else:
            await _do_equal_work(tx, world)
