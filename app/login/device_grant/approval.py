"""The other half of a request by a short code: the session that opens it is shown who asks, and it alone decides (authentication R66)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from app.catalog.models import Product
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import record
from app.login import attempts, rules
from app.login.device_grant.models import DeviceCode, DeviceCodeStatus
from app.login.device_grant.service import hash_user_code
from app.login.factors import service as factors
from app.login.locks import lock_subject
from app.login.problems import DeviceCodeDecided, DeviceCodeNotFound, EmailNotVerified, PasskeyMissing, SecondFactorMissing, StepUpRequired
from app.login.rules import AccountState, ApprovalLevel, RequiredStep
from app.login.sessions import service as sessions
from app.login.sessions.service import ClientDetails
from app.login.signing_in import pending as unfinished
from app.login.signing_in.pending import PendingLogin
from app.users.data_lifecycle import lock_unless_erased
from app.web import counters
from app.web.callers import Origin, Subject
from app.web.counters import WindowLimit
from app.world import World

WRONG_CODE_LIMIT = WindowLimit(timedelta(minutes=10), 5)
"""User codes that lead nowhere, of one address (an IPv6 /64)."""

_row = select(*table(DeviceCode).columns)


@dataclass(frozen=True)
class ApprovalRequest:
    """Who asks to be let in, as whoever decides is shown it. `wants`: the level of a session that may approve."""

    row: AnyRow = field(repr=False)
    product_name: str | None
    wants: ApprovalLevel


async def open_request(world: World, origin: Origin, subject: Subject, user_code: str) -> ApprovalRequest:
    """What is to be decided. From now on it is for this session alone to decide.

    Raises TooManyAttempts, DeviceCodeNotFound, DeviceCodeDecided.
    """
    row = await _find_by_code(world, origin, _assign_to_session(world, subject, user_code))
    if row.status != DeviceCodeStatus.PENDING:
        raise DeviceCodeDecided

    async def ask(tx: Transaction) -> tuple[str | None, AccountState]:
        name = await tx.scalar(select(Product.name).where(Product.code == row.product))
        return name, await unfinished.load_account(tx, world, _as_login(subject, row))

    name, account = await world.db.find(ask)
    return ApprovalRequest(row, name, rules.find_approval_level(account))


Lookup = Callable[[Transaction], Awaitable[AnyRow | None]]


def _assign_to_session(world: World, subject: Subject, user_code: str) -> Lookup:
    """Finds a request that nobody has opened, and takes it; or one of one's own."""
    mine = _assigned_to_session(world, subject, user_code)
    pending = (DeviceCode.user_hash == hash_user_code(world, user_code), DeviceCode.status == DeviceCodeStatus.PENDING)
    free = update(DeviceCode).where(*pending, DeviceCode.claimed_session_id.is_(None), DeviceCode.expires_at > world.clock.now())

    async def take(tx: Transaction) -> AnyRow | None:
        if not await lock_unless_erased(tx, subject.id):  # the user's row first, as whoever erases the user takes it
            return None
        taken = free.values(claimed_session_id=subject.session_id, user_id=subject.id).returning(*table(DeviceCode).columns)
        return (await tx.execute(taken)).one_or_none() or await mine(tx)

    return take


async def _find_by_code(world: World, origin: Origin, look: Lookup) -> AnyRow:
    """What a user code leads to; counted as a wrong one of its address before it is looked at, and given back if it was right (authentication R66)."""
    key = attempts.network_key(world, "user_codes", origin)
    async with world.db.write(commit_now=True) as tx:
        refusal = await counters.count_in_window(tx, key, WRONG_CODE_LIMIT, world.clock.now())
        row = await look(tx) if refusal is None else None
        if row is not None:
            await counters.refund(tx, key)
    if refusal is not None:
        raise refusal
    if row is None:
        raise DeviceCodeNotFound
    return row


def _as_login(subject: Subject, row: AnyRow) -> PendingLogin:
    """The approval as the login that it stands for: of this user, for this product, with what the session has shown."""
    return PendingLogin(None, subject.id, None, subject.epoch, sessions.read_proofs(subject), ClientDetails(row.product))


async def approve(world: World, origin: Origin, subject: Subject, user_code: str) -> None:
    """Let the application in. Again changes nothing.

    Raises TooManyAttempts, DeviceCodeNotFound, EmailNotVerified, StepUpRequired, SecondFactorMissing, PasskeyMissing,
    DeviceCodeDecided, TokenInvalid.
    """
    row = await _find_by_code(world, origin, _assigned_to_session(world, subject, user_code))
    await _check_assurance(world, subject, row)
    shown: dict[str, Any] = {"amr": list(subject.amr), "password_at": subject.password_at, "second_factor_at": subject.second_factor_at}
    shown |= {"passkey_at": subject.passkey_at, "auth_epoch": subject.epoch}
    await _decide(world, subject, row.id, DeviceCodeStatus.APPROVED, shown)


async def deny(world: World, origin: Origin, subject: Subject, user_code: str) -> None:
    """Turn the application away; wants no level. Again changes nothing. Raises TooManyAttempts, DeviceCodeNotFound, DeviceCodeDecided."""
    row = await _find_by_code(world, origin, _assigned_to_session(world, subject, user_code))
    await _decide(world, subject, row.id, DeviceCodeStatus.DENIED, {})


def _assigned_to_session(world: World, subject: Subject, user_code: str) -> Lookup:
    mine = (DeviceCode.user_hash == hash_user_code(world, user_code), DeviceCode.claimed_session_id == subject.session_id)

    async def look(tx: Transaction) -> AnyRow | None:
        return (await tx.execute(_row.where(*mine, DeviceCode.expires_at > world.clock.now()))).one_or_none()

    return look


async def _check_assurance(world: World, subject: Subject, row: AnyRow) -> None:
    """Whoever approves has shown all that a login for the product would want, and what the account has; no recovery code (authentication R28).

    A second factor that is locked vouches for no device either (authentication R45), though the session that it was shown in lives on (authentication R44).
    """
    if not subject.email_verified:
        raise EmailNotVerified
    factors.refuse_device_grant_session(subject)
    factors.refuse_recovery_code_session(subject)
    now, proofs = world.clock.now(), sessions.read_proofs(subject)
    counting = rules.drop_expired(proofs, now, world.settings.second_factor_lifetime)
    async with world.db.query() as tx:
        account = await unfinished.load_account(tx, world, _as_login(subject, row))
        key = attempts.factor_key(world, "totp", subject.id)
        by_code = counting.second_factor == "otp" and counting.passkey_at is None
        locked = await counters.current_refusal(tx, key, attempts.SECOND_FACTOR, now) if by_code and account.has_totp else None
    due = rules.find_approval_step(account, counting)
    if due is RequiredStep.ENROLMENT and account.wants_passkey:
        raise PasskeyMissing
    if due is RequiredStep.ENROLMENT:
        raise SecondFactorMissing("What is asked for wants a second factor; set one up first.")
    if due is not None:
        raise StepUpRequired("Step up, then approve again.", {"acr_values": rules.find_approval_level(account)})
    if locked is not None:
        raise locked


_SAME_DECISION = {
    DeviceCodeStatus.APPROVED: (DeviceCodeStatus.APPROVED, DeviceCodeStatus.CONSUMED),
    DeviceCodeStatus.DENIED: (DeviceCodeStatus.DENIED,),
}
"""Where a request stands after a decision, so that it may be sent again."""


_EVENT_TYPES = {
    DeviceCodeStatus.APPROVED: "device.authorization_approved",
    DeviceCodeStatus.DENIED: "device.authorization_denied",
}


async def _decide(world: World, subject: Subject, code_id: UUID, decision: DeviceCodeStatus, shown: Mapping[str, Any]) -> None:
    """The first decision stands; a revoke that was answered is not outrun by it."""
    now, kind = world.clock.now(), _EVENT_TYPES[decision]
    mine = (DeviceCode.id == code_id, DeviceCode.claimed_session_id == subject.session_id, DeviceCode.expires_at > now)
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        pending = update(DeviceCode).where(*mine, DeviceCode.status == DeviceCodeStatus.PENDING)
        if (await tx.execute(pending.values(status=decision, decided_at=now, **shown))).rowcount:
            await record(tx, world, kind, subject.actor, ("device_code", code_id), subject.id)
            return
        status = await tx.scalar(select(DeviceCode.status).where(*mine))
    if status is None:
        raise DeviceCodeNotFound
    if status not in _SAME_DECISION[decision]:
        raise DeviceCodeDecided
