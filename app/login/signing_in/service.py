"""Log in by password and the further required steps. A session is opened only when the last step is complete."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from sqlalchemy import and_, bindparam, exists, select

from app.base.problems import Problem
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor
from app.login import attempts, notices
from app.login.account import lookup, password_reset
from app.login.account.password_reset import SpendProof
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
from app.login.signing_in import pending as pending_logins
from app.login.signing_in.pending import LoginChallenge, PendingLogin
from app.mail.models import Template
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.users.models import User, UserStatus
from app.users.rules import fold_identifier
from app.web import counters
from app.web.callers import Origin, PendingLoginCaller, Subject
from app.world import World

_device_is_known = exists(select(SessionRow.id).where(SessionRow.user_id == User.id, SessionRow.device_digest == bindparam("device")))
_user_by_email = (
    select(
        User.id,
        User.status,
        User.email,
        User.email_verified_at,
        User.auth_epoch,
        Factor.hash,
        Factor.imported,
        HAS_SECOND_FACTOR.label("second_factor"),
        _device_is_known.correlate(User).label("device_is_known"),
    )
    .outerjoin(Factor, and_(Factor.user_id == User.id, *passwords.ACTIVE_PASSWORD))
    .where(User.email_folded == bindparam("identifier"))
)


async def log_in(
    world: World, origin: Origin, identifier: str, password: str, code: str | None, client: ClientDetails = UNKNOWN_CLIENT
) -> IssuedTokens | LoginChallenge:
    """Check the password; then open a session, continue with the code that was sent along, or return the next step.

    The response and its time are the same for unknown, wrong, suspended, unverified and password-less users (authentication R11, R49).
    Raises ProductNotFound, TooManyAttempts, InvalidCredentials, CodeRefused, LoginOver, Busy.
    """
    world.hasher.require_capacity()  # refuse before any database work
    token_signer = await load_signer(world)
    await refresh_timing(world)
    user = await lookup.find_with_product(
        world, _user_by_email, {"identifier": fold_identifier(identifier), "device": client.digest}, client.product
    )
    key = attempts.build_password_key(world, identifier, client.digest if user is not None and user.device_is_known else None)
    user = await _check_password(world, origin, key, user, identifier, password)
    upgraded_hash = await passwords.rehash_if_outdated(world, password, user.hash, imported=bool(user.imported))
    pending = PendingLogin(None, user.id, None, user.auth_epoch, Proofs(world.clock.now(), None), client)

    async def store_upgrade(tx: Transaction) -> None:
        if upgraded_hash is not None:
            await passwords.store_rehash(tx, user.id, user.hash, upgraded_hash)

    if code is not None and user.second_factor:
        async with world.db.write(commit_now=True) as tx:
            await store_upgrade(tx)
            await counters.reset(tx, key)
        return await _prove_totp(world, token_signer, origin, pending, code)
    async with world.db.write() as tx:
        await _lock_account(tx, pending)
        outcome = await pending_logins.conclude(tx, world, token_signer, origin, pending)
        await store_upgrade(tx)
        await attempts.record_success(tx, world, origin, key)
        return outcome


async def _check_password(world: World, origin: Origin, key: bytes, user: AnyRow | None, identifier: str, password: str) -> AnyRow:
    """Count the attempt, check the password and return the user. Every refusal takes the same time. Raises InvalidCredentials."""
    await attempts.count_attempt(world, origin, key)
    obstacle = _find_obstacle(user)
    stored = user.hash if user is not None and obstacle is None else None
    imported = stored is not None and user is not None and bool(user.imported)
    is_right = await attempts.run_counted(world, origin, key, world.hasher.verify(password, stored, imported=imported))
    if user is None or stored is None or not is_right:
        await attempts.record_failure(world, origin, "password", user.id if user is not None else None, obstacle or "wrong")
        await password_reset.notify_locked(world, identifier, key)
        raise InvalidCredentials
    return user


def _find_obstacle(user: AnyRow | None) -> str | None:
    """Return why no password can be right, for the audit event only; the response never reveals it."""
    if user is None:
        return "unknown"
    if user.status != UserStatus.ACTIVE:
        return "suspended"
    if user.email_verified_at is None:
        return "unverified"
    return "no_password" if user.hash is None else None


async def _lock_account(tx: Transaction, pending: PendingLogin) -> None:
    """Lock the account. Raises LoginOver if it changed since the login began."""
    if not await lock_account(tx, pending.user_id, pending.epoch):
        raise LoginOver


async def step_up(world: World, subject: Subject, level: str = "aal2") -> LoginChallenge:
    """Begin to raise the session to `aal2`, or to `aal2p` by a passkey (RFC 9470). Raises SecondFactorMissing, PasskeyMissing."""
    if not subject.has_second_factor:
        raise PasskeyMissing if level == PASSKEY_LEVEL else SecondFactorMissing
    async with world.db.write() as tx:
        epoch = select(SessionRow.auth_epoch).where(SessionRow.id == subject.session_id)
        proofs = replace(read_proofs(subject), second_factor_at=None)
        pending = PendingLogin(None, subject.id, subject.session_id, (await tx.execute(epoch)).scalar_one(), proofs, level=level)
        state = await pending_logins.load_account(tx, world, pending)
        if level == PASSKEY_LEVEL and not state.has_passkey:
            raise PasskeyMissing
        return await pending_logins.begin(tx, world, pending, pending_logins.decide_next_step(state, pending))


async def verify_totp(world: World, origin: Origin, handle: PendingLoginCaller, code: str) -> IssuedTokens | LoginChallenge:
    """Continue a login or step-up with an authenticator code. Raises LoginOver, StepNotDue, CodeRefused, TooManyAttempts."""
    token_signer = await load_signer(world)
    await require_step(world, handle, RequiredStep.SECOND_FACTOR)
    pending = await count_attempt(world, origin, handle)
    return await _prove_totp(world, token_signer, origin, pending, code)


async def use_recovery_code(world: World, origin: Origin, handle: PendingLoginCaller, code: str) -> IssuedTokens | LoginChallenge:
    """Continue a login or step-up with a recovery code and spend it. A spent code is refused like a wrong one (authentication R26).

    Raises LoginOver, StepNotDue, CodeRefused, TooManyAttempts.
    """
    token_signer = await load_signer(world)
    await require_step(world, handle, RequiredStep.SECOND_FACTOR)
    pending = await count_attempt(world, origin, handle)
    key = attempts.build_factor_key(world, "recovery", pending.user_id)
    await attempts.count_factor_attempt(world, key, attempts.SECOND_FACTOR)
    async with world.db.query() as tx:
        digits, row = await recovery.find_candidate(tx, pending.user_id, code)
    is_right = await attempts.run_counted(world, origin, key, world.hasher.verify_code(digits, row.hash if row is not None else None))
    now = world.clock.now()

    async def spend(tx: Transaction) -> bool:
        return row is not None and is_right and await recovery.spend(tx, world, pending.user_id, row.id, now)

    advanced = pending_logins.add_second_factor(pending, now, "rc")
    return await finish_step(
        world, token_signer, origin, advanced, spend if is_right else None, attempts.list_second_factor_keys(world, pending.user_id)
    )


async def require_step(world: World, handle: PendingLoginCaller, *steps: RequiredStep) -> PendingLogin:
    """Load the login of a handle and check that one of these steps is next. Raises LoginOver, StepNotDue."""
    pending, next_step, _ = await pending_logins.load_pending(world, handle)
    if next_step.name not in steps:
        raise StepNotDue
    return pending


async def count_attempt(world: World, origin: Origin, handle: PendingLoginCaller) -> PendingLogin:
    """Count the attempt for the address and for the handle, in separate transactions (lock order: docs/architecture.md).

    Raises TooManyAttempts, LoginOver.
    """
    await attempts.count_attempt(world, origin)
    async with world.db.write(commit_now=True) as tx:
        pending = await pending_logins.count_attempt(tx, world, handle)
    if pending is None:
        raise LoginOver
    return pending


async def _prove_totp(
    world: World, token_signer: Signer, origin: Origin, pending: PendingLogin, code: str
) -> IssuedTokens | LoginChallenge:
    key, now = attempts.build_factor_key(world, "totp", pending.user_id), world.clock.now()
    await attempts.count_factor_attempt(world, key, attempts.SECOND_FACTOR)
    async with world.db.query() as tx:
        matched = await totp.find_match(tx, world, pending.user_id, code, now)

    async def spend(tx: Transaction) -> bool:
        return matched is not None and await totp.spend_step(tx, *matched, now)

    return await finish_step(
        world, token_signer, origin, pending_logins.add_second_factor(pending, now, "otp"), spend if matched else None, (key,)
    )


async def finish_step(
    world: World,
    token_signer: Signer,
    origin: Origin,
    pending: PendingLogin,
    spend: SpendProof | None,
    keys: tuple[bytes, ...],
    refusal: type[Problem] = CodeRefused,
) -> IssuedTokens | LoginChallenge:
    """Spend the proof and conclude the login in one transaction.

    If `spend` is None or returns False, record the failure and raise `refusal`.
    """
    try:
        if spend is None:
            raise refusal
        async with world.db.write() as tx:
            await _lock_account(tx, pending)
            if not await spend(tx):
                raise refusal
            outcome = await pending_logins.conclude(tx, world, token_signer, origin, pending)
            await attempts.record_success(tx, world, origin, *keys)
            return outcome
    except refusal:
        factor, reason = pending.proofs.second_factor or "otp", "wrong" if spend is None else "spent"
        await attempts.record_failure(world, origin, factor, pending.user_id, reason)
        raise


async def require_enrolment(world: World, handle: PendingLoginCaller) -> PendingLogin:
    """Load a login that requires a new second factor and whose password was checked recently. Raises LoginOver, StepNotDue."""
    pending = await require_step(world, handle, RequiredStep.ENROLMENT)
    if not is_fresh(pending.proofs.password_at, world.clock.now(), world.settings.fresh_password):
        raise LoginOver("The password was checked too long ago; begin again.")
    return pending


async def begin_enrolment(world: World, handle: PendingLoginCaller, name: str | None) -> Enrolment:
    """Begin to set up an authenticator app during a login that requires one. Raises LoginOver, StepNotDue, EnrolmentUnderWay."""
    pending = await require_enrolment(world, handle)
    return await totp.begin(world, Actor("user", pending.user_id), pending.user_id, name)


async def confirm_enrolment(world: World, origin: Origin, handle: PendingLoginCaller, code: str) -> IssuedTokens | LoginChallenge:
    """Activate the authenticator app with one of its codes and continue the login; the result includes the recovery codes, once.

    Raises LoginOver, StepNotDue, EnrolmentNotFound, CodeRefused, TooManyAttempts.
    """
    token_signer = await load_signer(world)
    await require_step(world, handle, RequiredStep.ENROLMENT)
    pending = await count_attempt(world, origin, handle)
    confirmed = await totp.check_enrolment(world, origin, pending.user_id, None, code)

    async def add(tx: Transaction) -> None:
        await totp.activate(tx, world, Actor("user", pending.user_id), pending.user_id, confirmed)

    return await finish_enrolment(world, token_signer, origin, pending_logins.add_second_factor(pending, world.clock.now(), "otp"), add)


async def finish_enrolment(
    world: World, token_signer: Signer, origin: Origin, pending: PendingLogin, add: Callable[[Transaction], Awaitable[object]]
) -> IssuedTokens | LoginChallenge:
    """Add the new second factor by `add`, end all sessions with less assurance (authentication R59), and conclude the login.

    Raises LoginOver.
    """
    actor, codes = Actor("user", pending.user_id), await recovery.generate(world)
    async with world.db.write() as tx:
        await _lock_account(tx, pending)
        epoch = await revocation.end_all(tx, world, actor, pending.user_id, "factor_added", login_id=pending.login_id)
        await add(tx)
        await recovery.replace(tx, world, actor, pending.user_id, codes)
        outcome = await pending_logins.conclude(tx, world, token_signer, origin, replace(pending, epoch=epoch))
        await attempts.record_success(tx, world, origin)
    return replace(outcome, recovery_codes=codes.codes)


async def change_password(world: World, origin: Origin, handle: PendingLoginCaller, new: str) -> IssuedTokens | LoginChallenge:
    """Store the new password that the login requires, and conclude the login. Raises LoginOver, StepNotDue, Malformed."""
    token_signer = await load_signer(world)
    pending = await require_step(world, handle, RequiredStep.NEW_PASSWORD)
    hashed = await passwords.check_and_hash_change(world, pending.user_id, new, "/new", may_stay=pending.is_recovery)
    actor = Actor("user", pending.user_id)
    async with world.db.write() as tx:
        await _lock_account(tx, pending)
        epoch = await revocation.end_all(tx, world, actor, pending.user_id, "password_changed", login_id=pending.login_id)
        await passwords.set_password(tx, world, actor, pending.user_id, hashed)
        await notices.notify(tx, world, pending.user_id, Template.PASSWORD_CHANGED)
        proofs = replace(pending.proofs, password_at=pending.proofs.password_at or world.clock.now())
        outcome = await pending_logins.conclude(tx, world, token_signer, origin, replace(pending, epoch=epoch, proofs=proofs))
        if pending.is_recovery:
            email = str(await tx.scalar(select(User.email).where(User.id == pending.user_id)))
            await counters.reset(tx, *await attempts.list_password_keys(tx, world, pending.user_id, email))
        return outcome
