"""Logging in: password first, then whatever else is wanted, step by step. No session exists before it is complete."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from sqlalchemy import and_, bindparam, exists, select

from app.base.problems import Problem
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor
from app.login import attempts, notices
from app.login.account import lookup, password_reset
from app.login.conditions import HAS_SECOND_FACTOR
from app.login.factors import passwords, recovery, totp
from app.login.factors.timing import refresh_timing
from app.login.factors.totp import Enrolment
from app.login.locks import lock_account
from app.login.models import Factor, SessionRow
from app.login.problems import CodeRefused, InvalidCredentials, LoginOver, PasskeyMissing, SecondFactorMissing, StepNotDue
from app.login.rules import PASSKEY_LEVEL, Proofs, RequiredStep, is_fresh
from app.login.sessions import revocation
from app.login.sessions.service import UNKNOWN_CLIENT, ClientDetails, read_proofs
from app.login.sessions.tokens import IssuedTokens
from app.login.signing_in import pending as unfinished
from app.login.signing_in.pending import LoginChallenge, PendingLogin
from app.mail.models import Template
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.users.models import Status, User
from app.users.rules import fold_identifier
from app.web import counters
from app.web.callers import Origin, PendingLoginCaller, Subject
from app.world import World

_seen = exists(select(SessionRow.id).where(SessionRow.user_id == User.id, SessionRow.device_digest == bindparam("device")))
_who = (
    select(
        User.id,
        User.status,
        User.email,
        User.email_verified_at,
        User.auth_epoch,
        Factor.hash,
        Factor.imported,
        HAS_SECOND_FACTOR.label("second_factor"),
        _seen.correlate(User).label("seen"),
    )
    .outerjoin(Factor, and_(Factor.user_id == User.id, *passwords.ACTIVE_PASSWORD))
    .where(User.email_folded == bindparam("identifier"))
)


async def log_in(
    world: World, origin: Origin, identifier: str, password: str, code: str | None, client: ClientDetails = UNKNOWN_CLIENT
) -> IssuedTokens | LoginChallenge:
    """Check the password; with more wanted, go on by the code that came along or hand out an unfinished login.

    One answer, in one time, for unknown, wrong, suspended, unverified and password-less users (authentication R11, R49). Raises
    ProductNotFound, TooManyAttempts, InvalidCredentials, CodeRefused, LoginOver, Busy.
    """
    world.hasher.require_capacity()  # before the database is asked anything
    sign = await load_signer(world)
    await refresh_timing(world)
    who = await lookup.find_with_product(world, _who, {"identifier": fold_identifier(identifier), "device": client.digest}, client.product)
    key = attempts.password_key(world, identifier, client.digest if who is not None and who.seen else None)
    await attempts.count_attempt(world, origin, key)
    why = _find_obstacle(who)
    stored = who.hash if who is not None and why is None else None
    imported = stored is not None and who is not None and bool(who.imported)
    fits = await attempts.run_counted(world, origin, key, world.hasher.verify(password, stored, imported=imported))
    if who is None or stored is None or not fits:
        await attempts.record_failure(world, origin, "password", who.id if who is not None else None, why or "wrong")
        await password_reset.notify_locked(world, identifier, key)
        raise InvalidCredentials
    better = await passwords.rehash_if_outdated(world, password, stored, imported=imported)
    pending = PendingLogin(None, who.id, None, who.auth_epoch, Proofs(world.clock.now(), None), client)

    async def passed(tx: Transaction) -> None:
        if better is not None:
            await passwords.store_rehash(tx, who.id, stored, better)

    if code is not None and who.second_factor:
        async with world.db.write(commit_now=True) as tx:
            await passed(tx)
            await counters.reset(tx, key)
        return await _prove_totp(world, sign, origin, pending, code)
    async with world.db.write() as tx:
        await _lock_account(tx, pending)
        outcome = await unfinished.conclude(tx, world, sign, origin, pending)
        await passed(tx)
        await attempts.record_success(tx, world, origin, key)
        return outcome


def _find_obstacle(who: AnyRow | None) -> str | None:
    """Why no password can be right, for the record alone; the answer never says it."""
    if who is None:
        return "unknown"
    if who.status != Status.ACTIVE:
        return "suspended"
    if who.email_verified_at is None:
        return "unverified"
    return "no_password" if who.hash is None else None


async def _lock_account(tx: Transaction, pending: PendingLogin) -> None:
    if not await lock_account(tx, pending.user_id, pending.epoch):
        raise LoginOver


async def step_up(world: World, subject: Subject, level: str = "aal2") -> LoginChallenge:
    """Begin to raise the session to `aal2`, or to `aal2p`: by a passkey alone (RFC 9470). Raises SecondFactorMissing, PasskeyMissing."""
    if not subject.has_second_factor:
        raise PasskeyMissing if level == PASSKEY_LEVEL else SecondFactorMissing
    async with world.db.write() as tx:
        epoch = select(SessionRow.auth_epoch).where(SessionRow.id == subject.session_id)
        proofs = replace(read_proofs(subject), second_factor_at=None)
        pending = PendingLogin(None, subject.id, subject.session_id, (await tx.execute(epoch)).scalar_one(), proofs, level=level)
        whose = await unfinished.load_account(tx, world, pending)
        if level == PASSKEY_LEVEL and not whose.has_passkey:
            raise PasskeyMissing
        return await unfinished.begin(tx, world, pending, unfinished.decide_next_step(whose, pending))


async def verify_totp(world: World, origin: Origin, handle: PendingLoginCaller, code: str) -> IssuedTokens | LoginChallenge:
    """Go on with a login or a step-up by a code of the authenticator. Raises LoginOver, StepNotDue, CodeRefused, TooManyAttempts."""
    sign = await load_signer(world)
    await require_step(world, handle, RequiredStep.SECOND_FACTOR)
    pending = await count_attempt(world, origin, handle)
    return await _prove_totp(world, sign, origin, pending, code)


async def use_recovery_code(world: World, origin: Origin, handle: PendingLoginCaller, code: str) -> IssuedTokens | LoginChallenge:
    """Go on with a login or a step-up by a recovery code, spending it. A spent one answers like a wrong one (authentication R26).

    Raises LoginOver, StepNotDue, CodeRefused, TooManyAttempts.
    """
    sign = await load_signer(world)
    await require_step(world, handle, RequiredStep.SECOND_FACTOR)
    pending = await count_attempt(world, origin, handle)
    key = attempts.factor_key(world, "recovery", pending.user_id)
    await attempts.count_factor_attempt(world, key, attempts.SECOND_FACTOR)
    async with world.db.query() as tx:
        bare, row = await recovery.find_candidate(tx, pending.user_id, code)
    fits = await attempts.run_counted(world, origin, key, world.hasher.verify_code(bare, row.hash if row is not None else None))
    now = world.clock.now()

    async def spend(tx: Transaction) -> bool:
        return row is not None and fits and await recovery.spend(tx, world, pending.user_id, row.id, now)

    shown = unfinished.with_second_factor(pending, now, "rc")
    return await finish_step(world, sign, origin, shown, spend if fits else None, attempts.second_factor_keys(world, pending.user_id))


async def require_step(world: World, handle: PendingLoginCaller, *steps: RequiredStep) -> PendingLogin:
    """The login of a handle, if it wants one of these steps now. Raises LoginOver, StepNotDue."""
    pending, wanted, _ = await unfinished.load_pending(world, handle)
    if wanted.need not in steps:
        raise StepNotDue
    return pending


async def count_attempt(world: World, origin: Origin, handle: PendingLoginCaller) -> PendingLogin:
    """Count the try of the address and of the handle, each by itself: a login's end takes them the other way round.

    Raises TooManyAttempts, LoginOver.
    """
    await attempts.count_attempt(world, origin)
    async with world.db.write(commit_now=True) as tx:
        pending = await unfinished.count_attempt(tx, world, handle)
    if pending is None:
        raise LoginOver
    return pending


async def _prove_totp(world: World, sign: Signer, origin: Origin, pending: PendingLogin, code: str) -> IssuedTokens | LoginChallenge:
    key, now = attempts.factor_key(world, "totp", pending.user_id), world.clock.now()
    await attempts.count_factor_attempt(world, key, attempts.SECOND_FACTOR)
    async with world.db.query() as tx:
        matched = await totp.match(tx, world, pending.user_id, code, now)

    async def spend(tx: Transaction) -> bool:
        return matched is not None and await totp.spend_step(tx, *matched, now)

    return await finish_step(world, sign, origin, unfinished.with_second_factor(pending, now, "otp"), spend if matched else None, (key,))


Spend = Callable[[Transaction], Awaitable[bool]]


async def finish_step(
    world: World,
    sign: Signer,
    origin: Origin,
    pending: PendingLogin,
    spend: Spend | None,
    keys: tuple[bytes, ...],
    refusal: type[Problem] = CodeRefused,
) -> IssuedTokens | LoginChallenge:
    """Spend the proof and open what it opens, in one transaction; a proof that fits nothing, or is spent, is refused and noted."""
    try:
        if spend is None:
            raise refusal
        async with world.db.write() as tx:
            await _lock_account(tx, pending)
            if not await spend(tx):
                raise refusal
            outcome = await unfinished.conclude(tx, world, sign, origin, pending)
            await attempts.record_success(tx, world, origin, *keys)
            return outcome
    except refusal:
        factor, reason = pending.proofs.second_factor or "otp", "wrong" if spend is None else "spent"
        await attempts.record_failure(world, origin, factor, pending.user_id, reason)
        raise


async def require_enrolment(world: World, handle: PendingLoginCaller) -> PendingLogin:
    """A login that cannot end without a second factor, with its password shown lately. Raises LoginOver, StepNotDue."""
    pending = await require_step(world, handle, RequiredStep.ENROLMENT)
    if not is_fresh(pending.proofs.password_at, world.clock.now(), world.settings.fresh_password):
        raise LoginOver("The password was shown too long ago; begin again.")
    return pending


async def begin_enrolment(world: World, handle: PendingLoginCaller, name: str | None) -> Enrolment:
    """Set an authenticator up in the middle of such a login. Raises LoginOver, StepNotDue, EnrolmentUnderWay."""
    pending = await require_enrolment(world, handle)
    return await totp.begin(world, Actor("user", pending.user_id), pending.user_id, name)


async def confirm_enrolment(world: World, origin: Origin, handle: PendingLoginCaller, code: str) -> IssuedTokens | LoginChallenge:
    """Bring it to life with a code of it, and go on with the login; the recovery codes come along, this once.

    Raises LoginOver, StepNotDue, EnrolmentNotFound, CodeRefused, TooManyAttempts.
    """
    sign = await load_signer(world)
    await require_step(world, handle, RequiredStep.ENROLMENT)
    pending = await count_attempt(world, origin, handle)
    confirmed = await totp.check_enrolment(world, origin, pending.user_id, None, code)

    async def add(tx: Transaction) -> None:
        await totp.activate(tx, world, Actor("user", pending.user_id), pending.user_id, confirmed)

    return await finish_enrolment(world, sign, origin, unfinished.with_second_factor(pending, world.clock.now(), "otp"), add)


async def finish_enrolment(
    world: World, sign: Signer, origin: Origin, shown: PendingLogin, add: Callable[[Transaction], Awaitable[object]]
) -> IssuedTokens | LoginChallenge:
    """Add the second factor that was just set up and shown, and go on; whatever was proven by less is over (authentication R59). Raises LoginOver."""
    actor, paper = Actor("user", shown.user_id), await recovery.generate(world)
    async with world.db.write() as tx:
        await _lock_account(tx, shown)
        epoch = await revocation.end_all(tx, world, actor, shown.user_id, "factor_added", login_id=shown.login_id)
        await add(tx)
        await recovery.replace(tx, world, actor, shown.user_id, paper)
        outcome = await unfinished.conclude(tx, world, sign, origin, replace(shown, epoch=epoch))
        await attempts.record_success(tx, world, origin)
    return replace(outcome, recovery_codes=paper.codes)


async def change_password(world: World, origin: Origin, handle: PendingLoginCaller, new: str) -> IssuedTokens | LoginChallenge:
    """The step of a login whose password has to be changed, to another one. Raises LoginOver, StepNotDue, Malformed."""
    sign = await load_signer(world)
    pending = await require_step(world, handle, RequiredStep.NEW_PASSWORD)
    hashed = await passwords.check_and_hash_change(world, pending.user_id, new, "/new", may_stay=pending.recovers)
    actor = Actor("user", pending.user_id)
    async with world.db.write() as tx:
        await _lock_account(tx, pending)
        epoch = await revocation.end_all(tx, world, actor, pending.user_id, "password_changed", login_id=pending.login_id)
        await passwords.set_password(tx, world, actor, pending.user_id, hashed)
        await notices.notify(tx, world, pending.user_id, Template.PASSWORD_CHANGED)
        proofs = replace(pending.proofs, password_at=pending.proofs.password_at or world.clock.now())
        outcome = await unfinished.conclude(tx, world, sign, origin, replace(pending, epoch=epoch, proofs=proofs))
        if pending.recovers:
            email = str(await tx.scalar(select(User.email).where(User.id == pending.user_id)))
            await counters.reset(tx, *await attempts.password_keys(tx, world, pending.user_id, email))
        return outcome
