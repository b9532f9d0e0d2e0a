"""Verify e-mail addresses: of a registration, of an account with an unverified address, of an address change (authentication R51).

The first verification of an address discards everything that an unverified person has set (authentication R77). A password sent with the
token comes from the owner of the mailbox and always counts. Without one, the password of the registration counts only if that was
the only request for the address: a second registration, or another e-mail requested for it, makes the address disputed.

One risk remains: the owner opens the only e-mail of a registration that a stranger made. An application avoids this risk if its
verification page requires the password.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from app.base.problems import Malformed
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import mailed_tokens
from app.login.account import lookup, mail_limits
from app.login.account.mail_limits import LetterPurpose
from app.login.factors import passwords
from app.login.factors import service as factors
from app.login.locks import lock_account, lock_session, lock_subject
from app.login.mailed_tokens import Purpose
from app.login.problems import OneTimeTokenSpent, StepUpRequired
from app.login.rules import is_fresh
from app.login.sessions import revocation
from app.mail.models import Template
from app.mail.service import Recipient, enqueue_letter
from app.users import service as users
from app.users.models import User, UserStatus
from app.users.rules import fold_identifier
from app.web.callers import Origin, Subject
from app.world import World

PURPOSES = (Purpose.REGISTER, Purpose.VERIFY, Purpose.CHANGE)


@dataclass(frozen=True)
class VerifiedAddress:
    """An address after its verification.

    `password_dropped`: the address was disputed, so the account has no password until a password reset.
    """

    email: str
    password_dropped: bool = False


async def verify(world: World, token: str, password: str | None = None) -> VerifiedAddress:
    """Verify an address with a mailed token. Raises OneTimeTokenSpent, Malformed, EmailTaken.

    `password`: only with the token of a registration; it replaces the password of the registration.
    """
    async with world.db.query() as tx:
        row = await mailed_tokens.find_usable(tx, world, token, *PURPOSES)
    if row is None:
        raise OneTimeTokenSpent
    hashed = await _hash_password(world, row, password) if password is not None else None
    try:
        async with world.db.write() as tx:
            if not await _lock_account(tx, world, row) or await mailed_tokens.spend(tx, world, token, *PURPOSES) is None:
                raise OneTimeTokenSpent
            result = await _apply(tx, world, row, hashed)
            if result is None:
                raise OneTimeTokenSpent
            return result
    except IntegrityError as error:
        raise users.translate_unique_violation(error) from error


async def _lock_account(tx: Transaction, world: World, row: AnyRow) -> bool:
    """Lock the account of the token; False if its `auth_epoch` has changed since.

    For an address change, also lock the session that requested it: the request ends with the session (authentication R59).
    For a registration, lock all registrations of the same address, because only one of them can create the account.
    """
    if row.user_id is None:
        await mailed_tokens.lock_registrations(tx, row)
        return True
    epoch = mailed_tokens.read_epoch(world, row)
    if row.purpose != Purpose.CHANGE:
        return await lock_account(tx, row.user_id, epoch)
    return await lock_session(tx, world, row.user_id, UUID(mailed_tokens.read_payload(world, row)["session_id"]), epoch)


async def _hash_password(world: World, row: AnyRow, password: str) -> str:
    """Check and hash the password of a registration. Existing accounts use the password reset instead. Raises Malformed."""
    if row.purpose != Purpose.REGISTER:
        raise Malformed([("/password", "invalid", "is allowed only with the token of a registration")])
    return await passwords.check_and_hash(world, password, mailed_tokens.read_payload(world, row)["email"], "/password")


async def _apply(tx: Transaction, world: World, row: AnyRow, hashed: str | None) -> VerifiedAddress | None:
    """Apply the verification by the token's purpose; None if it no longer applies to an active account."""
    if row.purpose == Purpose.REGISTER:
        return await _create_account(tx, world, row, hashed)
    if row.purpose == Purpose.VERIFY:
        return await _verify_address(tx, world, row.user_id)
    return await _change_address(tx, world, row)


async def _create_account(tx: Transaction, world: World, row: AnyRow, hashed: str | None) -> VerifiedAddress | None:
    """Create the account with the password sent with the token, or else with the password of an undisputed registration.

    From a disputed registration only the address is used: we cannot tell whose e-mail was opened (authentication R77).
    """
    if row.subject is None:
        return None
    request = mailed_tokens.read_payload(world, row)
    others = [mailed_tokens.read_payload(world, other) for other in await mailed_tokens.list_registrations(tx, world, request["email"])]
    disputed = "password_hash" not in request or any(other["attempt"] != request["attempt"] for other in others)
    profile = {"email": request["email"]} if disputed else {name: request[name] for name in ("email", "display_name", "locale")}
    user = await users.insert_user(tx, world, lookup.ANONYMOUS, {**profile, "email_verified": True, "metadata": {}})
    password_hash = hashed or (None if disputed else request["password_hash"])
    if password_hash is not None:
        await passwords.set_password(tx, world, lookup.ANONYMOUS, user.id, password_hash)
    await mailed_tokens.void_registrations(tx, world, request["email"])
    return VerifiedAddress(user.email, password_hash is None)


async def _verify_address(tx: Transaction, world: World, user_id: UUID) -> VerifiedAddress | None:
    """Mark an address that an operator entered as verified, for the first time.

    End all sessions and remove all second factors, whose owner is unknown (authentication R77). The operator's password stays.
    """
    unverified = (User.id == user_id, User.email_verified_at.is_(None), User.status == UserStatus.ACTIVE)
    verification = update(User).where(*unverified).values(email_verified_at=world.clock.now()).returning(User.email)
    email = await tx.scalar(verification)
    if email is None:
        return None
    actor = Actor("user", user_id)
    await revocation.end_all(tx, world, actor, user_id, "email_verified")
    await factors.drop_second_factors(tx, user_id)
    await record(tx, world, "user.email_verified", actor, ("user", user_id), user_id)
    return VerifiedAddress(email)


async def _change_address(tx: Transaction, world: World, row: AnyRow) -> VerifiedAddress | None:
    """Replace the address, notify the old one, and end the user's other sessions (authentication R59)."""
    user = lookup.keep_if_active(await lookup.find_by_id(tx, row.user_id)) if row.user_id is not None else None
    if user is None:
        return None
    request, now = mailed_tokens.read_payload(world, row), world.clock.now()
    values = {"email": request["email"], "email_folded": fold_identifier(request["email"]), "email_verified_at": now}
    await tx.execute(update(table(User)).where(User.id == user.id).values(values))
    actor = Actor("user", user.id)
    await revocation.end_all(tx, world, actor, user.id, "email_changed", session_id=UUID(request["session_id"]))
    await record(tx, world, "user.email_changed", actor, ("user", user.id), user.id)
    await lookup.mail_owner(tx, world, user, Template.EMAIL_CHANGED, {"address": lookup.mask_address(request["email"]), "when": now})
    return VerifiedAddress(request["email"])


async def change(world: World, origin: Origin, subject: Subject, email: str) -> None:
    """Request a change of the account's address. The response is the same whether the new address is free or not (authentication R51).

    Raises StepUpRequired, TooManyAttempts, MailNotConfigured, TokenInvalid.
    """
    lookup.require_mail(world)
    _require_recent_proof(world, subject, world.settings.fresh_password)
    admitted = await mail_limits.count_letter(world, origin, LetterPurpose.CHANGE, email)
    async with world.db.query() as tx:
        account, addressee = await lookup.find_by_id(tx, subject.id), await lookup.find_by_address(tx, email)
    is_taken = addressee is not None and addressee.id != subject.id
    payload = {"email": email, "session_id": str(subject.session_id)}
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        await record(tx, world, "user.email_change_asked", subject.actor, ("user", subject.id), subject.id)
        owner, session_digest = None if is_taken or not admitted else account, mailed_tokens.digest_session(world, subject.session_id)
        issued = await mailed_tokens.issue(tx, world, Purpose.CHANGE, owner=owner, subject=session_digest, **payload)
        if admitted and is_taken and (other := lookup.keep_if_active(addressee)) is not None:
            await lookup.mail_owner(tx, world, other, Template.ADDRESS_TAKEN, {"when": world.clock.now()})
        else:
            recipient = Recipient(email, account.locale if account else None, user_id=subject.id) if admitted and not is_taken else None
            await enqueue_letter(tx, world, recipient, Template.EMAIL_CHANGE_VERIFY, {"token": issued.token, "expires": issued.expires_at})
        if account is not None and admitted:
            hint, now = lookup.mask_address(email), world.clock.now()
            await lookup.mail_owner(tx, world, account, Template.EMAIL_CHANGE_NOTICE, {"address": hint, "when": now})


def _require_recent_proof(world: World, subject: Subject, age: timedelta) -> None:
    """Require a recent proof of the strongest factor; a recovery code does not count (authentication R28). Raises StepUpRequired."""
    factors.refuse_device_grant_session(subject)
    at = subject.second_factor_at if subject.has_second_factor else subject.password_at
    if "rc" in subject.amr or not is_fresh(at, world.clock.now(), age):
        level = "aal2" if subject.has_second_factor else "aal1"
        raise StepUpRequired("Log in again, then repeat this request promptly.", {"acr_values": level, "max_age": int(age.total_seconds())})
