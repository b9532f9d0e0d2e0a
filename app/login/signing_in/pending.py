"""Pending logins and step-ups: their proofs, their next step, and the handle that continues them."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from app.catalog.models import Product
from app.db.database import Transaction, on_commit
from app.db.types import AnyRow
from app.login import rules
from app.login.conditions import HAS_PASSKEY, HAS_SECOND_FACTOR, HAS_TOTP
from app.login.factors.passwords import ACTIVE_PASSWORD
from app.login.models import Factor, Login
from app.login.problems import LoginOver
from app.login.rules import AccountState, Proofs, RequiredStep
from app.login.sessions import service as sessions
from app.login.sessions import tokens
from app.login.sessions.service import UNKNOWN_CLIENT, ClientDetails
from app.login.sessions.tokens import IssuedTokens
from app.observability import counters
from app.security.sealing import digest_token
from app.security.signing import Signer
from app.users.models import User, UserStatus
from app.web.callers import Origin, PendingLoginCaller
from app.world import World

PREFIX = "lgn_"
SECOND_FACTOR_REQUIREMENTS = {"second_factor", "passkey"}
"""Product requirements that a password alone does not meet."""


@dataclass(frozen=True)
class PendingLogin:
    """A login or step-up in progress. `login_id` is None while a single request completes it, without a row."""

    login_id: UUID | None
    user_id: UUID
    session_id: UUID | None
    epoch: int
    proofs: Proofs
    client: ClientDetails = UNKNOWN_CLIENT
    level: str | None = None

    @property
    def is_recovery(self) -> bool:
        """Report whether the login began with a mailed code and has no new password yet."""
        return self.session_id is None and self.proofs.password_at is None

    @property
    def completed_steps(self) -> tuple[str, ...]:
        """The completed steps, in order."""
        first = "session" if self.session_id else "login_code" if self.is_recovery else "password"
        return (first, "second_factor") if self.proofs.second_factor_at is not None else (first,)


@dataclass(frozen=True)
class NextStep:
    """The next step of a login and the actions that complete it; any one is enough."""

    name: RequiredStep
    actions: tuple[str, ...]


@dataclass(frozen=True)
class LoginChallenge:
    """A login that requires another step. `token` is set only in the response that created the login."""

    token: str | None = field(repr=False)
    expires_at: datetime
    completed_steps: tuple[str, ...]
    next_step: NextStep
    recovery_codes: list[str] | None = field(default=None, repr=False)


_columns = (
    Login.id,
    Login.user_id,
    Login.session_id,
    Login.auth_epoch,
    Login.password_at,
    Login.second_factor_at,
    Login.second_factor,
    Login.passkey_at,
    Login.passkey,
    Login.level,
    Login.product,
    Login.device,
    Login.device_digest,
    Login.attempts,
    Login.expires_at,
)


def _build_pending(row: AnyRow) -> PendingLogin:
    proofs = Proofs(row.password_at, row.second_factor_at, row.second_factor or "otp", row.passkey_at, row.passkey or "hwk")
    client = ClientDetails(row.product, row.device, row.device_digest)
    return PendingLogin(row.id, row.user_id, row.session_id, row.auth_epoch, proofs, client, row.level)


def _build_handle_conditions(handle: PendingLoginCaller, now: datetime) -> tuple[Any, ...]:
    """Build the conditions for a handle's row: not finished, not expired, and of the account's present epoch."""
    epoch = select(User.auth_epoch).where(User.id == Login.user_id, User.status == UserStatus.ACTIVE).scalar_subquery()
    return (Login.token_hash == digest_token(handle.token), Login.finished_at.is_(None), Login.expires_at > now, Login.auth_epoch == epoch)


async def count_attempt(tx: Transaction, world: World, handle: PendingLoginCaller) -> PendingLogin | None:
    """Count one attempt on the handle before anything is checked; None if the login is over (authentication R40, R43)."""
    attempts_left = Login.attempts < world.settings.login_tries
    count = update(Login).where(*_build_handle_conditions(handle, world.clock.now()), attempts_left).values(attempts=Login.attempts + 1)
    row = (await tx.execute(count.returning(*_columns))).one_or_none()
    return _build_pending(row) if row is not None else None


async def load_pending(world: World, handle: PendingLoginCaller) -> tuple[PendingLogin, NextStep, datetime]:
    """Load (the login of a handle, its next step, its expiry). Raises LoginOver."""
    async with world.db.read() as tx:
        row = (await tx.execute(select(*_columns).where(*_build_handle_conditions(handle, world.clock.now())))).one_or_none()
        if row is None:
            raise LoginOver
        pending = _build_pending(row)
        step = await find_next_step(tx, world, pending)
    # The new password needs no code, so it may be chosen after the last attempt.
    is_exhausted = row.attempts >= world.settings.login_tries and (step is None or step.name is not RequiredStep.NEW_PASSWORD)
    if step is None or is_exhausted:
        raise LoginOver
    return pending, step, row.expires_at


async def load_account(tx: Transaction, world: World, pending: PendingLogin) -> AccountState:
    """Load the account's factors and the factors that the installation or the product requires."""
    must_change = select(Factor.must_change).where(Factor.user_id == User.id, *ACTIVE_PASSWORD).scalar_subquery()
    facts = {"second_factor": HAS_SECOND_FACTOR, "totp": HAS_TOTP, "passkey": HAS_PASSKEY, "must_change": must_change}
    statement = select(*(condition.label(name) for name, condition in facts.items())).where(User.id == pending.user_id)
    row = (await tx.execute(statement)).one()
    requires: set[str] = set()
    if pending.client.product is not None:
        requires = set(await tx.scalar(select(Product.requires).where(Product.code == pending.client.product)) or ())
    return AccountState(
        has_second_factor=bool(row.second_factor),
        has_totp=bool(row.totp),
        has_passkey=bool(row.passkey) and world.settings.passkeys_enabled,
        needs_second_factor=world.settings.mfa == "required" or bool(SECOND_FACTOR_REQUIREMENTS & requires),
        needs_passkey="passkey" in requires,
        passkeys_enabled=world.settings.passkeys_enabled,
        must_change_password=bool(row.must_change),
    )


async def find_next_step(tx: Transaction, world: World, pending: PendingLogin) -> NextStep | None:
    """Load the account and return the login's next step; None if the login is complete."""
    return decide_next_step(await load_account(tx, world, pending), pending)


def decide_next_step(state: AccountState, pending: PendingLogin) -> NextStep | None:
    """Return the login's next step for an account that is already loaded; None if the login is complete."""
    step = rules.find_next_step(state, pending.proofs, step_up=pending.session_id is not None, level=pending.level)
    return NextStep(step, rules.list_actions(state, step)) if step is not None else None


async def conclude(
    tx: Transaction, world: World, token_signer: Signer, origin: Origin, pending: PendingLogin
) -> IssuedTokens | LoginChallenge:
    """Open or raise the session if no step remains; else store the progress and return the next step.

    The caller has locked the account. Raises LoginOver.
    """
    step = await find_next_step(tx, world, pending)
    if step is not None:
        return await _continue(tx, world, pending, step)
    if pending.session_id is None:
        outcome = await sessions.open_session(tx, world, origin, pending.user_id, pending.epoch, pending.proofs, pending.client)
    else:
        raised = await sessions.raise_assurance(tx, world, pending.user_id, pending.session_id, pending.proofs)
        if raised is None:
            raise LoginOver
        outcome = raised
    if pending.login_id is not None and not await _finish(tx, world, pending.login_id):
        raise LoginOver
    return tokens.issue_tokens(world, token_signer, *outcome)


def _build_proof_columns(proofs: Proofs) -> dict[str, Any]:
    return {
        "password_at": proofs.password_at,
        "second_factor_at": proofs.second_factor_at,
        "second_factor": proofs.second_factor,
        "passkey_at": proofs.passkey_at,
        "passkey": proofs.key,
    }


async def _continue(tx: Transaction, world: World, pending: PendingLogin, step: NextStep) -> LoginChallenge:
    """Store the progress of the login and return the next step. Raises LoginOver."""
    if pending.login_id is None:
        return await begin(tx, world, pending, step)
    progress = update(Login).where(Login.id == pending.login_id, Login.finished_at.is_(None)).values(_build_proof_columns(pending.proofs))
    expires_at = await tx.scalar(progress.returning(Login.expires_at))
    if expires_at is None:
        raise LoginOver
    return LoginChallenge(None, expires_at, pending.completed_steps, step)


async def begin(tx: Transaction, world: World, pending: PendingLogin, step: NextStep | None = None) -> LoginChallenge:
    """Insert a pending login and return its handle, which allows only the next step. Raises LoginOver if no step remains."""
    now, token = world.clock.now(), world.entropy.secret(PREFIX)
    expires_at = now + world.settings.login_lifetime
    values = {
        "id": world.entropy.identifier(),
        "user_id": pending.user_id,
        "session_id": pending.session_id,
        "token_hash": digest_token(token),
        "auth_epoch": pending.epoch,
        "level": pending.level,
        **_build_proof_columns(pending.proofs),
        "product": pending.client.product,
        "device": pending.client.device,
        "device_digest": pending.client.digest,
        "created_at": now,
        "expires_at": expires_at,
    }
    await tx.execute(insert(Login).values(values))
    on_commit(tx, counters.login_unfinished.inc)
    step = step or await find_next_step(tx, world, pending)
    if step is None:
        raise LoginOver
    return LoginChallenge(token, expires_at, pending.completed_steps, step)


async def _finish(tx: Transaction, world: World, login_id: UUID) -> bool:
    """Finish the login once; False for concurrent calls that come later."""
    unfinished = update(Login).where(Login.id == login_id, Login.finished_at.is_(None)).values(finished_at=world.clock.now())
    return (await tx.execute(unfinished)).rowcount == 1


async def get_state(world: World, handle: PendingLoginCaller) -> LoginChallenge:
    """Return the state of a pending login. Raises LoginOver."""
    pending, step, expires_at = await load_pending(world, handle)
    return LoginChallenge(None, expires_at, pending.completed_steps, step)


async def cancel(world: World, handle: PendingLoginCaller) -> None:
    """Cancel the login; repeating the call has no effect."""
    now = world.clock.now()
    async with world.db.write() as tx:
        open_login = (Login.token_hash == digest_token(handle.token), Login.finished_at.is_(None))
        await tx.execute(update(Login).where(*open_login).values(finished_at=now))


def add_second_factor(pending: PendingLogin, now: datetime, method: str, *, verified: bool = False) -> PendingLogin:
    """Return the login with its second factor used now. `verified`: by a passkey that verified its user."""
    proofs = replace(pending.proofs, second_factor_at=now, second_factor=method)
    return replace(pending, proofs=replace(proofs, passkey_at=now, key=method) if verified else proofs)
