"""Proving a mailbox: of a registration, of an account that was never proven, of an address that is to replace another (authentication R51).

The first proof of an address keeps nothing that somebody unproven has set (authentication R77). A password that comes with the token is set
by the mailbox's owner, whoever registered. Without one, the password of the registration counts only if nobody but that one
request ever touched the address: any second registration, and any letter that was asked for again, makes it disputed. What is
left is the owner who opens the only letter, for a registration that was not theirs; an application that asks for the password
on the page of the proof is safe from that too.
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
from app.users.models import Status, User
from app.users.rules import fold_identifier
from app.web.callers import Origin, Subject
from app.world import World

PURPOSES = (Purpose.REGISTER, Purpose.VERIFY, Purpose.CHANGE)


@dataclass(frozen=True)
class VerifiedAddress:
    """`password_dropped`: the address was disputed, so no password of before counts; set one by a reset."""

    email: str
    password_dropped: bool = False


async def verify(world: World, token: str, password: str | None = None) -> VerifiedAddress:
    """Spend a mailed token; of a registration, set this password. Raises OneTimeTokenSpent, Malformed, EmailTaken."""
    async with world.db.query() as tx:
        row = await mailed_tokens.find_usable(tx, world, token, *PURPOSES)
    if row is None:
        raise OneTimeTokenSpent
    hashed = await _hash_password(world, row, password) if password is not None else None
    try:
        async with world.db.write() as tx:
            if not await _lock_account(tx, world, row) or await mailed_tokens.spend(tx, world, token, *PURPOSES) is None:
                raise OneTimeTokenSpent
            proven = await _apply(tx, world, row, hashed)
            if proven is None:
                raise OneTimeTokenSpent
            return proven
    except IntegrityError as error:
        raise users.unique_violation(error) from error


async def _lock_account(tx: Transaction, world: World, row: AnyRow) -> bool:
    """Hold the account that the token is of, if it is still of the same epoch; and the session that asked to move the address, for
    what a session wanted ends with it (authentication R59). Of a registration: the others of the same address, for one of them wins."""
    if row.user_id is None:
        await mailed_tokens.lock_registrations(tx, row)
        return True
    epoch = mailed_tokens.read_epoch(world, row)
    if row.purpose != Purpose.CHANGE:
        return await lock_account(tx, row.user_id, epoch)
    return await lock_session(tx, world, row.user_id, UUID(mailed_tokens.read_payload(world, row)["session_id"]), epoch)


async def _hash_password(world: World, row: AnyRow, password: str) -> str:
    """The hash of the password that comes with the proof of a registration. Whoever has an account has a reset for that."""
    if row.purpose != Purpose.REGISTER:
        raise Malformed([("/password", "invalid", "belongs to the proof of a registration alone")])
    return await passwords.check_and_hash(world, password, mailed_tokens.read_payload(world, row)["email"], "/password")


async def _apply(tx: Transaction, world: World, row: AnyRow, hashed: str | None) -> VerifiedAddress | None:
    if row.purpose == Purpose.REGISTER:
        return await _create_account(tx, world, row, hashed)
    if row.purpose == Purpose.VERIFY:
        return await _verify_address(tx, world, row.user_id)
    return await _change_address(tx, world, row)


async def _create_account(tx: Transaction, world: World, row: AnyRow, hashed: str | None) -> VerifiedAddress | None:
    """The account comes into being, with the password that came with the proof or else with that of an undisputed registration.
    Of a disputed one nothing is kept but the address: nobody knows whose letter was opened (authentication R77)."""
    if row.subject is None:
        return None
    wish = mailed_tokens.read_payload(world, row)
    others = [mailed_tokens.read_payload(world, other) for other in await mailed_tokens.list_registrations(tx, world, wish["email"])]
    disputed = "password_hash" not in wish or any(other["attempt"] != wish["attempt"] for other in others)
    profile = {"email": wish["email"]} if disputed else {name: wish[name] for name in ("email", "display_name", "locale")}
    made = await users.insert_user(tx, world, lookup.ANONYMOUS, {**profile, "email_verified": True, "metadata": {}})
    kept = hashed or (None if disputed else wish["password_hash"])
    if kept is not None:
        await passwords.set_password(tx, world, lookup.ANONYMOUS, made.id, kept)
    await mailed_tokens.void_registrations(tx, world, wish["email"])
    return VerifiedAddress(made.email, kept is None)


async def _verify_address(tx: Transaction, world: World, user_id: UUID) -> VerifiedAddress | None:
    """The first proof of an address that the operator gave. Sessions and factors of before are nobody's (authentication R77); the password is
    the operator's own and stays."""
    unproven = (User.id == user_id, User.email_verified_at.is_(None), User.status == Status.ACTIVE)
    proven = update(User).where(*unproven).values(email_verified_at=world.clock.now()).returning(User.email)
    email = await tx.scalar(proven)
    if email is None:
        return None
    by = Actor("user", user_id)
    await revocation.end_all(tx, world, by, user_id, "email_verified")
    await factors.drop_second_factors(tx, user_id)
    await record(tx, world, "user.email_verified", by, ("user", user_id), user_id)
    return VerifiedAddress(email)


async def _change_address(tx: Transaction, world: World, row: AnyRow) -> VerifiedAddress | None:
    """The new address replaces the old one, whose owner is told; whoever else is logged in is out (authentication R59)."""
    before = lookup.active_or_none(await lookup.find_by_id(tx, row.user_id)) if row.user_id is not None else None
    if before is None:
        return None
    wish, now = mailed_tokens.read_payload(world, row), world.clock.now()
    values = {"email": wish["email"], "email_folded": fold_identifier(wish["email"]), "email_verified_at": now}
    await tx.execute(update(table(User)).where(User.id == before.id).values(values))
    by = Actor("user", before.id)
    await revocation.end_all(tx, world, by, before.id, "email_changed", session_id=UUID(wish["session_id"]))
    await record(tx, world, "user.email_changed", by, ("user", before.id), before.id)
    await lookup.mail_owner(tx, world, before, Template.EMAIL_CHANGED, {"address": lookup.mask_address(wish["email"]), "when": now})
    return VerifiedAddress(wish["email"])


async def change(world: World, origin: Origin, subject: Subject, email: str) -> None:
    """Ask to move the account to another address. The same answer whether that one is free or not (authentication R51).

    Raises StepUpRequired, TooManyAttempts, MailNotConfigured, TokenInvalid.
    """
    lookup.require_mail(world)
    _require_recent_proof(world, subject, world.settings.fresh_password)
    admitted = await mail_limits.count_letter(world, origin, LetterPurpose.CHANGE, email)
    async with world.db.query() as tx:
        mine, holder = await lookup.find_by_id(tx, subject.id), await lookup.find_by_address(tx, email)
    taken = holder is not None and holder.id != subject.id
    wish = {"email": email, "session_id": str(subject.session_id)}
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        await record(tx, world, "user.email_change_asked", subject.actor, ("user", subject.id), subject.id)
        owner, asker = None if taken or not admitted else mine, mailed_tokens.digest_session(world, subject.session_id)
        made = await mailed_tokens.issue(tx, world, Purpose.CHANGE, owner=owner, subject=asker, **wish)
        if admitted and taken and (other := lookup.active_or_none(holder)) is not None:
            await lookup.mail_owner(tx, world, other, Template.ADDRESS_TAKEN, {"when": world.clock.now()})
        else:
            to = Recipient(email, mine.locale if mine else None, user_id=subject.id) if admitted and not taken else None
            await enqueue_letter(tx, world, to, Template.EMAIL_CHANGE_VERIFY, {"token": made.token, "expires": made.expires_at})
        if mine is not None and admitted:
            hint, now = lookup.mask_address(email), world.clock.now()
            await lookup.mail_owner(tx, world, mine, Template.EMAIL_CHANGE_NOTICE, {"address": hint, "when": now})


def _require_recent_proof(world: World, subject: Subject, age: timedelta) -> None:
    """Whoever moves an account away shows first that it is theirs; by a recovery code nobody does (authentication R28)."""
    factors.refuse_device_grant_session(subject)
    at = subject.second_factor_at if subject.has_second_factor else subject.password_at
    if "rc" in subject.amr or not is_fresh(at, world.clock.now(), age):
        level = "aal2" if subject.has_second_factor else "aal1"
        raise StepUpRequired("Log in again, then ask at once.", {"acr_values": level, "max_age": int(age.total_seconds())})
