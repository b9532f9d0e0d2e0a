"""Reset a forgotten password with a mailed token. A reset opens no session and removes no second factor (authentication R67)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import update

from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import attempts, mailed_tokens
from app.login.account import lookup, mail_limits
from app.login.account.mail_limits import LetterPurpose
from app.login.factors import passwords, recovery, totp
from app.login.factors import service as factors
from app.login.locks import lock_account
from app.login.mailed_tokens import Purpose
from app.login.problems import CodeRefused, OneTimeTokenSpent, TotpRequired
from app.login.sessions import revocation
from app.mail.models import Template
from app.mail.service import enqueue_letter
from app.users.models import User
from app.web import counters
from app.web.callers import Origin
from app.world import World


async def request_reset(world: World, origin: Origin, identifier: str) -> None:
    """Mail a reset token to the account with this address. Raises TooManyAttempts, MailNotConfigured.

    An unknown address runs the same statements, so that the response time reveals nothing (authentication R50).
    """
    lookup.require_mail(world)
    admitted = await mail_limits.count_letter(world, origin, LetterPurpose.FORGOT, identifier)
    async with world.db.query() as tx:
        account = await lookup.find_by_address(tx, identifier)
    async with world.db.write() as tx:
        await mail_reset_token(tx, world, lookup.keep_if_active(account) if admitted else None, Template.RESET_PASSWORD)


async def mail_reset_token(tx: Transaction, world: World, row: AnyRow | None, template: Template) -> None:
    """Mail a token for a new password, on request or because the password was locked. Without an account, do the same work."""
    issued = await mailed_tokens.issue(tx, world, Purpose.RESET, owner=row)
    facts: dict[str, str | int | datetime | None] = {"token": issued.token, "expires": issued.expires_at}
    if template is Template.ACCOUNT_LOCKED:
        facts["when"] = world.clock.now()
    if row is None:
        await enqueue_letter(tx, world, None, template, facts)
    else:
        await lookup.mail_owner(tx, world, row, template, facts)


NOTIFY_AT = frozenset({10, 100})
"""Numbers of consecutive wrong passwords at which the owner is notified: the longest wait begins at 10; at 100 only a reset helps."""


async def notify_locked(world: World, identifier: str, key: bytes) -> None:
    """Mail a reset token to the owner of an account whose password was locked by failed attempts (authentication R40, R49).

    Unknown names cause the same work. No two attempts see the same count, because each wrong attempt blocks further attempts for some time.
    """
    if not world.settings.mail_configured or await counters.count_of(world, key) not in NOTIFY_AT:
        return
    async with world.db.query() as tx:
        account = await lookup.find_by_address(tx, identifier)
    owner = lookup.keep_if_active(account)
    async with world.db.write(commit_now=True) as tx:
        await mail_reset_token(
            tx, world, owner if owner is not None and owner.email_verified_at is not None else None, Template.ACCOUNT_LOCKED
        )


@dataclass(frozen=True)
class SecondFactorProof:
    """The second factor sent with a reset: a code of an authenticator app, or a recovery code."""

    totp: str | None = field(default=None, repr=False)
    recovery_code: str | None = field(default=None, repr=False)


async def reset(world: World, origin: Origin, token: str, password: str, proof: SecondFactorProof) -> None:
    """Set a new password; end every session and void every other mailed token. A second factor, if the account has one, is required.

    Raises OneTimeTokenSpent, Malformed, TotpRequired, CodeRefused, TooManyAttempts.
    """
    async with world.db.query() as tx:
        row = await mailed_tokens.find_usable(tx, world, token, Purpose.RESET)
        owner = lookup.keep_if_active(await lookup.find_by_id(tx, row.user_id)) if row is not None and row.user_id is not None else None
    if row is None or owner is None or owner.auth_epoch != mailed_tokens.read_epoch(world, row):
        raise OneTimeTokenSpent
    hashed = await passwords.check_and_hash(world, password, owner.email, "/new_password")
    spend = await _check_second_factor(world, origin, token, owner.id, proof) if _needs_second_factor(owner) else None
    async with world.db.write() as tx:
        locked = await lock_account(tx, owner.id, owner.auth_epoch)
        if not locked or await mailed_tokens.spend(tx, world, token, Purpose.RESET) is None:
            raise OneTimeTokenSpent
        owner = await lookup.find_by_id(tx, owner.id)  # read again: the address may have been verified meanwhile
        if owner is None:
            raise OneTimeTokenSpent
        if spend is None and _needs_second_factor(owner):
            raise TotpRequired
        if spend is not None and not await spend(tx):
            raise CodeRefused
        await _apply(tx, world, owner, hashed)
        if spend is not None:
            await attempts.record_success(tx, world, origin)


def _needs_second_factor(owner: AnyRow) -> bool:
    """Whether a second factor is required. One added before the address was verified does not count and is removed (authentication R77)."""
    return bool(owner.has_second_factor) and owner.email_verified_at is not None


SpendProof = Callable[[Transaction], Awaitable[bool]]
"""Spends a checked proof in a transaction; returns False if another request spent it first."""


async def _check_second_factor(world: World, origin: Origin, token: str, user_id: UUID, proof: SecondFactorProof) -> SpendProof:
    """Check the second factor and return the function that spends it. Raises TotpRequired, OneTimeTokenSpent, CodeRefused, TooManyAttempts.

    The attempt is counted for the network, the token and the account before the check (authentication R43). The attempt limit of
    the second factor applies here too (authentication R45).
    """
    if proof.totp is None and proof.recovery_code is None:
        raise TotpRequired
    kind = "totp" if proof.totp is not None else "recovery"
    key = attempts.build_factor_key(world, kind, user_id)
    await attempts.count_attempt(world, origin)
    async with world.db.write(commit_now=True) as tx:
        counted = await mailed_tokens.count_attempt(tx, world, token, Purpose.RESET)
    if not counted:
        raise OneTimeTokenSpent
    await attempts.count_factor_attempt(world, key, attempts.SECOND_FACTOR)
    if proof.totp is not None:
        spend = await _check_totp(world, user_id, proof.totp)
    else:
        spend = await _check_recovery_code(world, origin, key, user_id, proof.recovery_code or "")
    if spend is None:
        await attempts.record_failure(world, origin, "otp" if kind == "totp" else "rc", user_id, "wrong")
        raise CodeRefused
    return spend


async def _check_totp(world: World, user_id: UUID, code: str) -> SpendProof | None:
    now = world.clock.now()
    async with world.db.query() as tx:
        matched = await totp.find_match(tx, world, user_id, code, now)
    if matched is None:
        return None
    return lambda tx: totp.spend_step(tx, *matched, now)


async def _check_recovery_code(world: World, origin: Origin, key: bytes, user_id: UUID, code: str) -> SpendProof | None:
    async with world.db.query() as tx:
        normalised_code, row = await recovery.find_candidate(tx, user_id, code)
    fits = await attempts.run_counted(world, origin, key, world.hasher.verify_code(normalised_code, row.hash if row is not None else None))
    if row is None or not fits:
        return None
    return lambda tx: recovery.spend(tx, world, user_id, row.id, world.clock.now())


async def _apply(tx: Transaction, world: World, owner: AnyRow, hashed: str) -> None:
    """Set the password and end everything that depended on the old one. The reset also verifies the address (authentication R67, R77)."""
    actor, now = Actor("user", owner.id), world.clock.now()
    await revocation.end_all(tx, world, actor, owner.id, "password_reset")
    if owner.email_verified_at is None:
        await tx.execute(update(User).where(User.id == owner.id, User.email_verified_at.is_(None)).values(email_verified_at=now))
        await factors.drop_second_factors(tx, owner.id)
    await passwords.set_password(tx, world, actor, owner.id, hashed)
    await record(tx, world, "password.reset", actor, ("user", owner.id), owner.id)
    await lookup.mail_owner(tx, world, owner, Template.PASSWORD_CHANGED, {"when": now})
    keys = await attempts.list_password_keys(tx, world, owner.id, owner.email)
    await counters.reset(tx, *keys, *(attempts.list_second_factor_keys(world, owner.id) if _needs_second_factor(owner) else ()))
