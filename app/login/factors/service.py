"""List, rename, add and remove the factors of an account; reset them for a user who lost all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import exists, select, update

from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import attempts, notices, rules
from app.login.conditions import SECOND_FACTOR
from app.login.factors import passkey_challenges, passkeys, recovery, totp
from app.login.factors.passkey_challenges import ChallengeKind, ChallengeOwner
from app.login.factors.passkeys import WebAuthnOptions
from app.login.factors.recovery import RecoveryCodes, RemainingCodes
from app.login.factors.totp import Enrolment
from app.login.locks import lock_subject
from app.login.models import Factor, FactorKind, FactorState
from app.login.problems import EmailNotVerified, FactorIndispensable, FactorNotFound, SecondFactorMissing, StepUpRequired
from app.login.sessions import revocation
from app.login.sessions.service import read_proofs
from app.mail.models import Template
from app.users.service import get_user
from app.web import counters
from app.web.callers import Origin, Subject
from app.web.paging import PageWindow, read_page
from app.world import World

AUTHENTICATORS = (FactorKind.TOTP, FactorKind.PASSKEY)
IS_LISTED = (Factor.kind.in_([FactorKind.PASSWORD, *AUTHENTICATORS]), Factor.state != FactorState.REVOKED)
CLEARED_COLUMNS: Mapping[str, Any] = {
    "state": FactorState.REVOKED, "hash": None, "secret_sealed": None, "selector": None, "credential_id": None, "public_key": None,
}  # fmt: skip
"""Values of a removed factor. The row stays, without secrets."""
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
class AddedFactor:
    """An authenticator that is active from now on. `recovery_codes`: set if it is the first one of the account."""

    id: UUID
    kind: Literal["totp", "passkey"]
    confirmed_at: datetime
    recovery_codes: list[str] | None = field(repr=False)


def require_recent_proof(world: World, subject: Subject, age: timedelta | None = None) -> None:
    """Require a recent proof of every kind of factor that the account has (authentication R21, R22). Raises StepUpRequired.

    Checked both when an enrolment begins and when it ends. `age`: how old the proof may be; default `fresh_password`.
    """
    age = age or world.settings.fresh_password
    refuse_device_grant_session(subject)
    level = rules.find_level_to_prove(read_proofs(subject), has_second_factor=subject.has_second_factor, now=world.clock.now(), age=age)
    if level is not None:
        raise StepUpRequired(
            "Authenticate again, then repeat this request promptly.", {"acr_values": level, "max_age": int(age.total_seconds())}
        )


def _require_may_add(world: World, subject: Subject, age: timedelta | None = None) -> None:
    """Require a verified e-mail address (authentication R78) and a recent proof. Raises EmailNotVerified, StepUpRequired."""
    if not subject.email_verified:
        raise EmailNotVerified
    require_recent_proof(world, subject, age)


def refuse_device_grant_session(subject: Subject) -> None:
    """Refuse a session that was opened by a device grant (authentication R66). Raises StepUpRequired.

    Its proofs were copied from another session and do not permit managing the account.
    """
    if subject.via_device_grant:
        level = "aal2" if subject.has_second_factor else "aal1"
        raise StepUpRequired("Authenticate in this session, or use the session that approved it.", {"acr_values": level, "max_age": 300})


def refuse_recovery_code_session(subject: Subject) -> None:
    """Refuse a session opened with a recovery code, which only permits replacing a lost authenticator (authentication R28).

    Raises StepUpRequired.
    """
    if "rc" in subject.amr:
        raise StepUpRequired("Authenticate with an authenticator instead of a recovery code.", {"acr_values": "aal2", "max_age": 300})


async def enrol_totp(world: World, subject: Subject, name: str | None) -> Enrolment:
    """Begin to add an authenticator app. Raises EmailNotVerified, StepUpRequired, EnrolmentUnderWay."""
    _require_may_add(world, subject)
    return await totp.begin(world, subject.actor, subject.id, name)


async def confirm_totp(world: World, origin: Origin, subject: Subject, factor_id: UUID, code: str) -> AddedFactor:
    """Activate an authenticator app with one of its codes, and end the user's other sessions (authentication R59).

    Those sessions were opened without the new factor.

    Raises EmailNotVerified, StepUpRequired, TooManyAttempts, EnrolmentNotFound, CodeRefused.
    """
    _require_may_add(world, subject, world.settings.fresh_password + world.settings.totp_pending)
    await attempts.count_attempt(world, origin)
    confirmed = await totp.check_enrolment(world, origin, subject.id, factor_id, code)
    codes = await generate_first_codes(world, subject.id)
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        await revocation.end_all(tx, world, subject.actor, subject.id, "factor_added", session_id=subject.session_id)
        await totp.activate(tx, world, subject.actor, subject.id, confirmed)
        if codes is not None:
            await recovery.replace(tx, world, subject.actor, subject.id, codes)
        await attempts.record_success(tx, world, origin)
    return AddedFactor(factor_id, "totp", world.clock.now(), codes.codes if codes is not None else None)


async def begin_passkey(world: World, subject: Subject) -> WebAuthnOptions:
    """Begin to register a passkey. Raises PasskeysOff, EmailNotVerified, StepUpRequired."""
    passkeys.require_relying_party(world)
    _require_may_add(world, subject)
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        return await passkeys.begin_registration(tx, world, ChallengeOwner(subject.id, subject.session_id))


async def add_passkey(world: World, subject: Subject, credential: Mapping[str, Any], labels: Mapping[str, Any]) -> AddedFactor:
    """Register the passkey that the browser created, and end the user's other sessions (authentication R59).

    `labels`: its `name` and `transports`.

    Raises PasskeysOff, EmailNotVerified, StepUpRequired, ChallengeSpent, PasskeyRefused, PasskeyTaken, TooManyPasskeys.
    """
    passkeys.require_relying_party(world)
    _require_may_add(world, subject, world.settings.fresh_password + passkey_challenges.LIFETIME)
    challenge = await passkey_challenges.spend(world, ChallengeKind.CREATE, ChallengeOwner(subject.id, subject.session_id), credential)
    new_passkey = passkeys.verify_new(world, challenge, credential)
    codes = await generate_first_codes(world, subject.id)
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        await revocation.end_all(tx, world, subject.actor, subject.id, "factor_added", session_id=subject.session_id)
        factor_id = await passkeys.add(tx, world, subject.actor, subject.id, new_passkey, labels)
        if codes is not None:
            await recovery.replace(tx, world, subject.actor, subject.id, codes)
    return AddedFactor(factor_id, "passkey", world.clock.now(), codes.codes if codes is not None else None)


async def generate_first_codes(world: World, user_id: UUID) -> RecoveryCodes | None:
    """Generate recovery codes for an account that has none; None for any other. Hashing happens outside of a write."""

    async def count(tx: Transaction) -> RemainingCodes:
        return await recovery.count_remaining(tx, user_id)

    return await recovery.generate(world) if (await world.db.query_with_retry(count)).total == 0 else None


async def renew_recovery_codes(world: World, subject: Subject) -> list[str]:
    """Replace the recovery codes (authentication R27). Refused in a session opened with one of them (authentication R28).

    Raises SecondFactorMissing, StepUpRequired.
    """
    if not subject.has_second_factor:
        raise SecondFactorMissing
    refuse_recovery_code_session(subject)
    require_recent_proof(world, subject)
    codes = await recovery.generate(world)
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        await recovery.replace(tx, world, subject.actor, subject.id, codes)
        await notices.notify(tx, world, subject.id, Template.RECOVERY_CODES_RENEWED)
    return codes.codes


async def count_recovery_codes(world: World, subject: Subject) -> RemainingCodes:
    """Count the recovery codes of the user."""
    async with world.db.query() as tx:
        return await recovery.count_remaining(tx, subject.id)


async def list_factors(world: World, user_id: UUID, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    """List the password and the authenticators of an account, without its recovery codes."""
    async with world.db.query() as tx:
        return await read_page(tx, _factors.where(Factor.user_id == user_id, *IS_LISTED), Factor.id, window)


async def list_factors_of_user(world: World, user_id: UUID, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    """List the factors of a user for an operator. Raises UserNotFound."""
    await get_user(world, user_id)
    return await list_factors(world, user_id, window)


async def get_factor(world: World, subject: Subject, factor_id: UUID) -> AnyRow:
    """Return one listed factor of the user. Raises FactorNotFound."""
    async with world.db.query() as tx:
        return await _get_factor(tx, subject.id, factor_id)


async def rename_factor(world: World, subject: Subject, factor_id: UUID, name: str | None) -> AnyRow:
    """Set or clear the name of a factor. Raises FactorNotFound."""
    async with world.db.write() as tx:
        await tx.execute(update(Factor).where(Factor.id == factor_id, Factor.user_id == subject.id, *IS_LISTED).values(name=name))
        return await _get_factor(tx, subject.id, factor_id)


async def _get_factor(tx: Transaction, user_id: UUID, factor_id: UUID) -> AnyRow:
    result = await tx.execute(_factors.where(Factor.id == factor_id, Factor.user_id == user_id, *IS_LISTED))
    row = result.one_or_none()
    if row is None:
        raise FactorNotFound
    return row


async def remove_factor(world: World, subject: Subject, factor_id: UUID) -> None:
    """Remove an authenticator, after a recent proof by it or by another one (authentication R22).

    Removing the last one discards the recovery codes. The user's other sessions end (authentication R59).
    Raises FactorNotFound, FactorIndispensable, StepUpRequired.
    """
    kind = (await get_factor(world, subject, factor_id)).kind
    if kind == FactorKind.PASSWORD:
        raise FactorIndispensable
    require_recent_proof(world, subject)
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        await revocation.end_all(tx, world, subject.actor, subject.id, "factor_removed", session_id=subject.session_id)
        removable = (
            Factor.id == factor_id,
            Factor.user_id == subject.id,
            Factor.kind.in_(AUTHENTICATORS),
            Factor.state != FactorState.REVOKED,
        )
        if not (await tx.execute(update(Factor).where(*removable).values(CLEARED_COLUMNS))).rowcount:
            raise FactorNotFound
        if not await _has_authenticator(tx, subject.id):
            await recovery.discard(tx, subject.id)
        await record(tx, world, "factor.removed", subject.actor, ("factor", factor_id), subject.id, kind=kind)
        await notices.notify(tx, world, subject.id, Template.FACTOR_REMOVED, kind=kind)


async def _has_authenticator(tx: Transaction, user_id: UUID) -> bool:
    return bool(await tx.scalar(select(exists().where(Factor.user_id == user_id, SECOND_FACTOR))))


async def reset_factors(world: World, actor: Actor, user_id: UUID) -> None:
    """Remove every second factor and end every session; the password stays. Raises UserNotFound.

    For an operator, when the user has lost all second factors.
    """
    await get_user(world, user_id)
    async with world.db.write() as tx:
        await revocation.end_all(tx, world, actor, user_id, "factors_reset")
        dropped = await drop_second_factors(tx, user_id)
        await record(tx, world, "factors.reset", actor, ("user", user_id), user_id, count=dropped)
        await notices.notify(tx, world, user_id, Template.FACTORS_RESET)
        await counters.reset(tx, *attempts.list_second_factor_keys(world, user_id))


async def drop_second_factors(tx: Transaction, user_id: UUID) -> int:
    """Remove every authenticator, also pending and suspect ones, and every recovery code; return the number of authenticators.

    Runs in the caller's transaction.
    """
    authenticators: tuple[Any, ...] = (Factor.user_id == user_id, Factor.kind.in_(AUTHENTICATORS), Factor.state != FactorState.REVOKED)
    result = await tx.execute(update(Factor).where(*authenticators).values(CLEARED_COLUMNS))
    await recovery.discard(tx, user_id)
    return result.rowcount


async def unlock(world: World, actor: Actor, user_id: UUID) -> None:
    """Clear the locks caused by failed attempts: password (also on known devices), login code, second factors. Raises UserNotFound."""
    email = (await get_user(world, user_id)).email
    async with world.db.write() as tx:
        await record(tx, world, "user.unlocked", actor, ("user", user_id), user_id)
        keys = [*await attempts.list_password_keys(tx, world, user_id, email), attempts.build_login_code_key(world, email)]
        await counters.reset(tx, *keys, *attempts.list_second_factor_keys(world, user_id))
