"""Approving side of the device grant: the session that opens a request sees its sender, and only it can decide (authentication R66)."""

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
from app.login.problems import (
    DeviceCodeDecided,
    DeviceCodeNotFound,
    EmailNotVerified,
    PasskeyMissing,
    SecondFactorMissing,
    StepUpRequired,
)
from app.login.rules import AccountState, ApprovalLevel, RequiredStep
from app.login.sessions import service as sessions
from app.login.sessions.service import ClientDetails
from app.login.signing_in import pending as pending_logins
from app.login.signing_in.pending import PendingLogin
from app.users.data_lifecycle import lock_unless_erased
from app.web import counters
from app.web.callers import Origin, Subject
from app.web.counters import WindowLimit
from app.world import World

WRONG_CODE_LIMIT = WindowLimit(timedelta(minutes=10), 5)
"""Limit of unknown user codes per network address (an IPv6 /64)."""

_row = select(*table(DeviceCode).columns)


@dataclass(frozen=True)
class ApprovalRequest:
    """A request as shown to the deciding user. `required_level`: the level that a session needs to approve."""

    row: AnyRow = field(repr=False)
    product_name: str | None
    required_level: ApprovalLevel


async def open_request(world: World, origin: Origin, subject: Subject, user_code: str) -> ApprovalRequest:
    """Load the request to decide; from now on only this session may decide it.

    Raises TooManyAttempts, DeviceCodeNotFound, DeviceCodeDecided.
    """
    row = await _find_by_code(world, origin, _build_assigning_lookup(world, subject, user_code))
    if row.status != DeviceCodeStatus.PENDING:
        raise DeviceCodeDecided

    async def load(tx: Transaction) -> tuple[str | None, AccountState]:
        name = await tx.scalar(select(Product.name).where(Product.code == row.product))
        return name, await pending_logins.load_account(tx, world, _build_pending_login(subject, row))

    name, account = await world.db.query_with_retry(load)
    return ApprovalRequest(row, name, rules.find_approval_level(account))


RequestLookup = Callable[[Transaction], Awaitable[AnyRow | None]]


def _build_assigning_lookup(world: World, subject: Subject, user_code: str) -> RequestLookup:
    """Return a lookup that assigns an unopened request to the session, or finds one that the session already opened."""
    find_assigned = _build_assigned_lookup(world, subject, user_code)
    pending = (DeviceCode.user_hash == hash_user_code(world, user_code), DeviceCode.status == DeviceCodeStatus.PENDING)
    unassigned = update(DeviceCode).where(*pending, DeviceCode.claimed_session_id.is_(None), DeviceCode.expires_at > world.clock.now())

    async def assign(tx: Transaction) -> AnyRow | None:
        if not await lock_unless_erased(tx, subject.id):  # lock order: docs/architecture.md
            return None
        assignment = unassigned.values(claimed_session_id=subject.session_id, user_id=subject.id).returning(*table(DeviceCode).columns)
        return (await tx.execute(assignment)).one_or_none() or await find_assigned(tx)

    return assign


async def _find_by_code(world: World, origin: Origin, lookup: RequestLookup) -> AnyRow:
    """Find the request of a user code.

    The attempt counts as a wrong code of the address before the lookup and is refunded if the code is right (authentication R66).
    Raises TooManyAttempts, DeviceCodeNotFound.
    """
    key = attempts.build_network_key(world, "user_codes", origin)
    async with world.db.write(commit_now=True) as tx:
        refusal = await counters.count_in_window(tx, key, WRONG_CODE_LIMIT, world.clock.now())
        row = await lookup(tx) if refusal is None else None
        if row is not None:
            await counters.refund(tx, key)
    if refusal is not None:
        raise refusal
    if row is None:
        raise DeviceCodeNotFound
    return row


def _build_pending_login(subject: Subject, row: AnyRow) -> PendingLogin:
    """Represent the approval as a login of this user for the product, with the session's proofs."""
    return PendingLogin(None, subject.id, None, subject.epoch, sessions.read_proofs(subject), ClientDetails(row.product))


async def approve(world: World, origin: Origin, subject: Subject, user_code: str) -> None:
    """Approve the request; repeating the call has no effect.

    Raises TooManyAttempts, DeviceCodeNotFound, EmailNotVerified, StepUpRequired, SecondFactorMissing, PasskeyMissing,
    DeviceCodeDecided, TokenInvalid.
    """
    row = await _find_by_code(world, origin, _build_assigned_lookup(world, subject, user_code))
    await _check_assurance(world, subject, row)
    proofs: dict[str, Any] = {"amr": list(subject.amr), "password_at": subject.password_at, "second_factor_at": subject.second_factor_at}
    proofs |= {"passkey_at": subject.passkey_at, "auth_epoch": subject.epoch}
    await _decide(world, subject, row.id, DeviceCodeStatus.APPROVED, proofs)


async def deny(world: World, origin: Origin, subject: Subject, user_code: str) -> None:
    """Deny the request at any level; repeating the call has no effect.

    Raises TooManyAttempts, DeviceCodeNotFound, DeviceCodeDecided, TokenInvalid.
    """
    row = await _find_by_code(world, origin, _build_assigned_lookup(world, subject, user_code))
    await _decide(world, subject, row.id, DeviceCodeStatus.DENIED, {})


def _build_assigned_lookup(world: World, subject: Subject, user_code: str) -> RequestLookup:
    """Return a lookup of a request that the session has opened."""
    assigned = (DeviceCode.user_hash == hash_user_code(world, user_code), DeviceCode.claimed_session_id == subject.session_id)

    async def find(tx: Transaction) -> AnyRow | None:
        return (await tx.execute(_row.where(*assigned, DeviceCode.expires_at > world.clock.now()))).one_or_none()

    return find


async def _check_assurance(world: World, subject: Subject, row: AnyRow) -> None:
    """Check that the session has every proof that a login for the product requires, without a recovery code (authentication R28).

    A locked second factor cannot approve (authentication R45), although the session continues (authentication R44).
    Raises EmailNotVerified, PasskeyMissing, SecondFactorMissing, StepUpRequired, TooManyAttempts.
    """
    if not subject.email_verified:
        raise EmailNotVerified
    factors.refuse_device_grant_session(subject)
    factors.refuse_recovery_code_session(subject)
    now, proofs = world.clock.now(), sessions.read_proofs(subject)
    unexpired = rules.drop_expired(proofs, now, world.settings.second_factor_lifetime)
    async with world.db.query() as tx:
        account = await pending_logins.load_account(tx, world, _build_pending_login(subject, row))
        key = attempts.build_factor_key(world, "totp", subject.id)
        uses_totp = unexpired.second_factor == "otp" and unexpired.passkey_at is None
        locked = await counters.current_refusal(tx, key, attempts.SECOND_FACTOR, now) if uses_totp and account.has_totp else None
    step = rules.find_approval_step(account, unexpired)
    if step is RequiredStep.ENROLMENT and account.needs_passkey:
        raise PasskeyMissing
    if step is RequiredStep.ENROLMENT:
        raise SecondFactorMissing("The product requires a second factor; set one up first.")
    if step is not None:
        raise StepUpRequired("Step up, then approve again.", {"acr_values": rules.find_approval_level(account)})
    if locked is not None:
        raise locked


_SAME_DECISION = {
    DeviceCodeStatus.APPROVED: (DeviceCodeStatus.APPROVED, DeviceCodeStatus.CONSUMED),
    DeviceCodeStatus.DENIED: (DeviceCodeStatus.DENIED,),
}
"""Statuses of a request after each decision. While a request has one of them, repeating the decision has no effect."""


_EVENT_TYPES = {
    DeviceCodeStatus.APPROVED: "device.authorization_approved",
    DeviceCodeStatus.DENIED: "device.authorization_denied",
}


async def _decide(world: World, subject: Subject, code_id: UUID, decision: DeviceCodeStatus, proofs: Mapping[str, Any]) -> None:
    """Store the first decision, unless the session was revoked meanwhile. Raises TokenInvalid, DeviceCodeNotFound, DeviceCodeDecided."""
    now, kind = world.clock.now(), _EVENT_TYPES[decision]
    assigned = (DeviceCode.id == code_id, DeviceCode.claimed_session_id == subject.session_id, DeviceCode.expires_at > now)
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        pending = update(DeviceCode).where(*assigned, DeviceCode.status == DeviceCodeStatus.PENDING)
        if (await tx.execute(pending.values(status=decision, decided_at=now, **proofs))).rowcount:
            await record(tx, world, kind, subject.actor, ("device_code", code_id), subject.id)
            return
        status = await tx.scalar(select(DeviceCode.status).where(*assigned))
    if status is None:
        raise DeviceCodeNotFound
    if status not in _SAME_DECISION[decision]:
        raise DeviceCodeDecided
