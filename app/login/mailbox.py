"""Proving a mailbox: of a registration, of an account that was never proven, of an address that is to replace another (R51)."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from app.db.base import table
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import account, factors, mail_limits, one_time, passwords, revocation
from app.login.mail_limits import Share
from app.login.one_time import Purpose
from app.login.problems import OneTimeTokenSpent, StepUpRequired
from app.login.rules import fresh
from app.mail.models import Template
from app.mail.service import Recipient, post
from app.users import service as users
from app.users.models import Status, User
from app.users.rules import folded
from app.web.callers import Origin, Subject
from app.world import World


@dataclass(frozen=True)
class ProvenAddress:
    """`password_dropped`: several had registered this address, so none of their passwords counts; set one by a reset."""

    email: str
    password_dropped: bool = False


async def verify(world: World, token: str) -> ProvenAddress:
    """Spend a mailed token. Raises OneTimeTokenSpent, EmailTaken."""
    try:
        async with world.db.write() as session:
            row = await one_time.spend(session, world, token, Purpose.REGISTER, Purpose.VERIFY, Purpose.CHANGE)
            proven = await _proven(session, world, row) if row is not None else None
            if proven is None:
                raise OneTimeTokenSpent
            return proven
    except IntegrityError as error:
        raise users.named(error) from error


async def _proven(session: Session, world: World, row: AnyRow) -> ProvenAddress | None:
    if row.purpose == Purpose.REGISTER:
        return await _registered(session, world, row)
    if row.purpose == Purpose.VERIFY:
        return await _verified(session, world, row.user_id)
    return await _changed(session, world, row)


async def _registered(session: Session, world: World, row: AnyRow) -> ProvenAddress | None:
    """The account comes into being with the password of this registration. If somebody else has registered the same address,
    nobody knows whose letter was opened: then the proof is good and every password that was set before it is dropped (R77)."""
    if row.subject is None:
        return None
    wish = one_time.payload(world, row)
    others = [one_time.payload(world, other) for other in await one_time.pending(session, world, wish["email"])]
    disputed = any(other["attempt"] != wish["attempt"] for other in others)
    profile = {name: wish[name] for name in ("email", "display_name", "locale")}
    made = await users.insert_user(session, world, account.ANONYMOUS, {**profile, "email_verified": True, "metadata": {}})
    if not disputed:
        await passwords.put(session, world, account.ANONYMOUS, made.id, wish["password_hash"])
    await one_time.drop_registrations(session, world, wish["email"])
    return ProvenAddress(made.email, disputed)


async def _verified(session: Session, world: World, user_id: UUID) -> ProvenAddress | None:
    """The first proof of an address that the operator gave. Sessions and factors of before are nobody's (R77); the password is
    the operator's own and stays."""
    unproven = (User.id == user_id, User.email_verified_at.is_(None), User.status == Status.ACTIVE)
    proven = update(User).where(*unproven).values(email_verified_at=world.clock.now()).returning(User.email)
    email = await session.scalar(proven)
    if email is None:
        return None
    by = Actor("user", user_id)
    await revocation.end_all(session, world, by, user_id, "email_verified")
    await factors.drop_second_factors(session, user_id)
    await one_time.drop(session, world, user_id)
    await record(session, world, "user.email_verified", by, ("user", user_id), user_id)
    return ProvenAddress(email)


async def _changed(session: Session, world: World, row: AnyRow) -> ProvenAddress | None:
    """The new address replaces the old one, whose owner is told; whoever else is logged in is out (R59)."""
    before = account.usable(await account.of(session, row.user_id)) if row.user_id is not None else None
    if before is None:
        return None
    wish, now = one_time.payload(world, row), world.clock.now()
    values = {"email": wish["email"], "email_folded": folded(wish["email"]), "email_verified_at": now}
    await session.execute(update(table(User)).where(User.id == before.id).values(values))
    by = Actor("user", before.id)
    await revocation.end_all(session, world, by, before.id, "email_changed", session_id=UUID(wish["session_id"]))
    await one_time.drop(session, world, before.id)
    await record(session, world, "user.email_changed", by, ("user", before.id), before.id)
    await account.tell(session, world, before, Template.EMAIL_CHANGED, {"address": account.hinted(wish["email"]), "when": now})
    return ProvenAddress(wish["email"])


async def change(world: World, origin: Origin, who: Subject, email: str) -> None:
    """Ask to move the account to another address. The same answer whether that one is free or not (R51).

    Raises StepUpRequired, TooManyAttempts, MailNotConfigured.
    """
    account.must_have_mail(world)
    _freshly(world, who, world.settings.fresh_password)
    admitted = await mail_limits.admit(world, origin, Share.CHANGE, email)
    async with world.db.lookup() as session:
        mine, holder = await account.of(session, who.id), await account.find(session, email)
    taken = holder is not None and holder.id != who.id
    async with world.db.write() as session:
        await record(session, world, "user.email_change_asked", who.actor, ("user", who.id), who.id)
        made = await one_time.issue(
            session, world, Purpose.CHANGE, user_id=None if taken or not admitted else who.id, email=email, session_id=str(who.session_id)
        )
        if admitted and taken and (owner := account.usable(holder)) is not None:
            await account.tell(session, world, owner, Template.ADDRESS_TAKEN, {"when": world.clock.now()})
        else:
            to = Recipient(email, mine.locale if mine else None) if admitted and not taken else None
            await post(session, world, to, Template.EMAIL_CHANGE_VERIFY, {"token": made.token, "expires": made.expires_at})
        if mine is not None and admitted:
            hint, now = account.hinted(email), world.clock.now()
            await account.tell(session, world, mine, Template.EMAIL_CHANGE_NOTICE, {"address": hint, "when": now})


def _freshly(world: World, who: Subject, age: timedelta) -> None:
    """Whoever moves an account away shows first that it is theirs."""
    at = who.second_factor_at if who.has_second_factor else who.password_at
    if not fresh(at, world.clock.now(), age):
        level = "aal2" if who.has_second_factor else "aal1"
        raise StepUpRequired("Log in again, then ask at once.", {"acr_values": level, "max_age": int(age.total_seconds())})
