"""The factors of an account: listing, naming, adding and removing them, and the operator's reset when all are lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import exists, select, update

from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import attempts, notices, rules
from app.login.conditions import SECOND_FACTOR
from app.login.factors import passkey_challenges, passkeys, recovery, totp
from app.login.factors.passkey_challenges import Holder, Kind
from app.login.factors.passkeys import Options
from app.login.factors.recovery import Left, Paper
from app.login.factors.totp import Enrolment
from app.login.locks import hold_subject
from app.login.models import Factor, FactorKind, FactorState
from app.login.problems import EmailNotVerified, FactorIndispensable, FactorNotFound, SecondFactorMissing, StepUpRequired
from app.login.sessions import revocation
from app.login.sessions.service import proofs_of
from app.mail.models import Template
from app.users.service import user as user_of
from app.web.callers import Origin, Subject
from app.web.paging import Window, page
from app.world import World

DEVICES = (FactorKind.TOTP, FactorKind.PASSKEY)
SHOWN = (Factor.kind.in_([FactorKind.PASSWORD, *DEVICES]), Factor.state != FactorState.REVOKED)
BARE: Mapping[str, Any] = {
    "state": FactorState.REVOKED, "hash": None, "secret_sealed": None, "selector": None, "credential_id": None, "public_key": None,
}  # fmt: skip
"""What is left of a factor that is no more: that there was one."""
_factors = select(
    Factor.id,
    Factor.kind,
    Factor.state,
    Factor.name,
    Factor.backed_up,
    Factor.created_at,
    Factor.confirmed_at,
    Factor.used_at,
    Factor.expires_at,
)


@dataclass(frozen=True)
class Added:
    """A device that counts from now on; `recovery_codes` are there when it is the account's first."""

    id: UUID
    kind: Literal["totp", "passkey"]
    confirmed_at: datetime
    recovery_codes: list[str] | None = field(repr=False)


def may_manage(world: World, who: Subject, age: timedelta | None = None) -> None:
    """Whether all that the account has was shown lately (R21, R22). Asked at both ends of an enrolment. Raises StepUpRequired."""
    age = age or world.settings.fresh_password
    not_let_in(who)
    level = rules.proof_wanted(proofs_of(who), has_second_factor=who.has_second_factor, now=world.clock.now(), age=age)
    if level is not None:
        raise StepUpRequired("Show it again, then do this at once.", {"acr_values": level, "max_age": int(age.total_seconds())})


def _may_add(world: World, who: Subject, age: timedelta | None = None) -> None:
    """The same, and that the mailbox is proven (R78). Raises EmailNotVerified, StepUpRequired."""
    if not who.email_verified:
        raise EmailNotVerified
    may_manage(world, who, age)


def not_let_in(who: Subject) -> None:
    """A session that was let in by a short code has shown nothing itself, and what another has shown does not manage an account (R66).

    Raises StepUpRequired.
    """
    if who.let_in:
        level = "aal2" if who.has_second_factor else "aal1"
        raise StepUpRequired("Show the factors in this session, or do it where you logged in.", {"acr_values": level, "max_age": 300})


def not_by_recovery_code(who: Subject) -> None:
    """A recovery code manages a lost authenticator and nothing else (R28). Raises StepUpRequired."""
    if "rc" in who.amr:
        raise StepUpRequired("Show an authenticator, not a recovery code.", {"acr_values": "aal2", "max_age": 300})


async def enrol(world: World, who: Subject, name: str | None) -> Enrolment:
    """Begin to add an authenticator app. Raises EmailNotVerified (R78), StepUpRequired, EnrolmentUnderWay."""
    _may_add(world, who)
    return await totp.begin(world, who.actor, who.id, name)


async def confirm(world: World, origin: Origin, who: Subject, factor_id: UUID, code: str) -> Added:
    """Bring it to life with a code of it; other sessions are over, for they were proven by less (R59).

    Raises EmailNotVerified, StepUpRequired, TooManyAttempts, EnrolmentNotFound, CodeRefused.
    """
    _may_add(world, who, world.settings.fresh_password + world.settings.totp_pending)
    await attempts.knock(world, origin)
    confirmed = await totp.checked(world, origin, who.id, factor_id, code)
    paper = await paper_if_first(world, who.id)
    async with world.db.write() as session:
        await hold_subject(session, world, who)
        await revocation.end_all(session, world, who.actor, who.id, "factor_added", session_id=who.session_id)
        await totp.activate(session, world, who.actor, who.id, confirmed)
        if paper is not None:
            await recovery.replace(session, world, who.actor, who.id, paper)
        await attempts.passed(session, world, origin)
    return Added(factor_id, "totp", world.clock.now(), paper.codes if paper is not None else None)


async def passkey_options(world: World, who: Subject) -> Options:
    """Begin to register a passkey. Raises PasskeysOff, EmailNotVerified (R78), StepUpRequired."""
    passkeys.party(world)
    _may_add(world, who)
    async with world.db.write() as session:
        await hold_subject(session, world, who)
        return await passkeys.creation(session, world, Holder(who.id, who.session_id))


async def add_passkey(world: World, who: Subject, credential: Mapping[str, Any], named: Mapping[str, Any]) -> Added:
    """Register the passkey that the browser made, with its `name` and `transports`; other sessions are over (R59).

    Raises PasskeysOff, EmailNotVerified, StepUpRequired, ChallengeSpent, PasskeyRefused, PasskeyTaken, TooManyPasskeys.
    """
    passkeys.party(world)
    _may_add(world, who, world.settings.fresh_password + passkey_challenges.LIFETIME)
    answered = await passkey_challenges.answer(world, Kind.CREATE, Holder(who.id, who.session_id), credential)
    made = passkeys.made(world, answered, credential)
    paper = await paper_if_first(world, who.id)
    async with world.db.write() as session:
        await hold_subject(session, world, who)
        await revocation.end_all(session, world, who.actor, who.id, "factor_added", session_id=who.session_id)
        factor_id = await passkeys.add(session, world, who.actor, who.id, made, named)
        if paper is not None:
            await recovery.replace(session, world, who.actor, who.id, paper)
    return Added(factor_id, "passkey", world.clock.now(), paper.codes if paper is not None else None)


async def paper_if_first(world: World, user_id: UUID) -> Paper | None:
    """Fresh recovery codes for an account that has none, hashed before anything is written."""

    async def ask(session: Session) -> Left:
        return await recovery.remaining(session, user_id)

    return await recovery.print_paper(world) if (await world.db.find(ask)).total == 0 else None


async def renew_paper(world: World, who: Subject) -> list[str]:
    """A new set of recovery codes; the old ones are void. Not for who came in by one of them (R27, R28).

    Raises SecondFactorMissing, StepUpRequired.
    """
    if not who.has_second_factor:
        raise SecondFactorMissing
    not_by_recovery_code(who)
    may_manage(world, who)
    paper = await recovery.print_paper(world)
    async with world.db.write() as session:
        await hold_subject(session, world, who)
        await recovery.replace(session, world, who.actor, who.id, paper)
        await notices.notify(session, world, who.id, Template.RECOVERY_CODES_RENEWED)
    return paper.codes


async def paper_left(world: World, who: Subject) -> Left:
    async with world.db.lookup() as session:
        return await recovery.remaining(session, who.id)


async def listed(world: World, user_id: UUID, window: Window) -> tuple[Sequence[AnyRow], str | None]:
    """What an account logs in with; recovery codes are counted elsewhere."""
    async with world.db.lookup() as session:
        return await page(session, _factors.where(Factor.user_id == user_id, *SHOWN), Factor.id, window)


async def of_user(world: World, user_id: UUID, window: Window) -> tuple[Sequence[AnyRow], str | None]:
    """The same for an operator. Raises UserNotFound."""
    await user_of(world, user_id)
    return await listed(world, user_id, window)


async def one(world: World, who: Subject, factor_id: UUID) -> AnyRow:
    """Raises FactorNotFound."""
    async with world.db.lookup() as session:
        return await _one(session, who.id, factor_id)


async def rename(world: World, who: Subject, factor_id: UUID, name: str | None) -> AnyRow:
    """Raises FactorNotFound."""
    async with world.db.write() as session:
        await session.execute(update(Factor).where(Factor.id == factor_id, Factor.user_id == who.id, *SHOWN).values(name=name))
        return await _one(session, who.id, factor_id)


async def _one(session: Session, user_id: UUID, factor_id: UUID) -> AnyRow:
    found = await session.execute(_factors.where(Factor.id == factor_id, Factor.user_id == user_id, *SHOWN))
    row = found.one_or_none()
    if row is None:
        raise FactorNotFound
    return row


async def remove(world: World, who: Subject, factor_id: UUID) -> None:
    """Remove a device, with a proof by it or by one that remains (R22). With the last one go the recovery codes.

    Other sessions are over (R59). Raises FactorNotFound, FactorIndispensable, StepUpRequired.
    """
    kind = (await one(world, who, factor_id)).kind
    if kind == FactorKind.PASSWORD:
        raise FactorIndispensable
    may_manage(world, who)
    async with world.db.write() as session:
        await hold_subject(session, world, who)
        await revocation.end_all(session, world, who.actor, who.id, "factor_removed", session_id=who.session_id)
        alive = (Factor.id == factor_id, Factor.user_id == who.id, Factor.kind.in_(DEVICES), Factor.state != FactorState.REVOKED)
        if not (await session.execute(update(Factor).where(*alive).values(BARE))).rowcount:
            raise FactorNotFound
        if not await _has_device(session, who.id):
            await recovery.discard(session, who.id)
        await record(session, world, "factor.removed", who.actor, ("factor", factor_id), who.id, kind=kind)
        await notices.notify(session, world, who.id, Template.FACTOR_REMOVED, kind=kind)


async def _has_device(session: Session, user_id: UUID) -> bool:
    return bool(await session.scalar(select(exists().where(Factor.user_id == user_id, SECOND_FACTOR))))


async def reset(world: World, by: Actor, user_id: UUID) -> None:
    """The operator's way out when all is lost: every second factor and every session goes, the password stays. Raises UserNotFound."""
    await user_of(world, user_id)
    async with world.db.write() as session:
        await revocation.end_all(session, world, by, user_id, "factors_reset")
        dropped = await drop_second_factors(session, user_id)
        await record(session, world, "factors.reset", by, ("user", user_id), user_id, count=dropped)
        await notices.notify(session, world, user_id, Template.FACTORS_RESET)
        await attempts.forgive(session, *attempts.of_account(world, user_id))


async def drop_second_factors(session: Session, user_id: UUID) -> int:
    """Every authenticator and passkey, also one that is pending or suspect, and every recovery code; how many of the former.

    A step, for other rooms too.
    """
    devices: tuple[Any, ...] = (Factor.user_id == user_id, Factor.kind.in_(DEVICES), Factor.state != FactorState.REVOKED)
    dropped = await session.execute(update(Factor).where(*devices).values(BARE))
    await recovery.discard(session, user_id)
    return dropped.rowcount


async def unlock(world: World, by: Actor, user_id: UUID) -> None:
    """Clear what wrong tries have locked: the password, also on devices that were seen, and the second factors. Raises UserNotFound."""
    email = (await user_of(world, user_id)).email
    async with world.db.write() as session:
        await record(session, world, "user.unlocked", by, ("user", user_id), user_id)
        keys = [*await attempts.of_password(session, world, user_id, email), attempts.login_code_key(world, email)]
        await attempts.forgive(session, *keys, *attempts.of_account(world, user_id))
