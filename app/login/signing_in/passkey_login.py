"""Logging in by a passkey: by it alone, without a name or a password, or as the second factor of a login or a step-up.

A passkey that verified its user is two factors at once and opens a session by itself. One that was only touched is possession, no
more than a password is knowledge: it goes on a login that a password began, and begins none (authentication R31).
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.base.problems import Problem
from app.catalog import service as catalog
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor
from app.login import attempts
from app.login.factors import passkey_challenges, passkeys
from app.login.factors.passkey_challenges import ChallengeKind, ChallengeOwner, SpentChallenge
from app.login.factors.passkeys import VerifiedPasskey, WebAuthnOptions
from app.login.factors.webauthn import decode_base64url
from app.login.locks import lock_account
from app.login.problems import PasskeyMissing, PasskeyRefused, UserVerificationRequired
from app.login.rules import PASSKEY_LEVEL, Proofs, RequiredStep
from app.login.sessions import service as sessions
from app.login.sessions import tokens
from app.login.sessions.service import ClientDetails
from app.login.sessions.tokens import IssuedTokens
from app.login.signing_in import pending as unfinished
from app.login.signing_in import service
from app.login.signing_in.pending import LoginChallenge, PendingLogin
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.users.models import Status
from app.web.callers import Origin, PendingLoginCaller
from app.world import World

Credential = Mapping[str, Any]


async def create_options(world: World, origin: Origin, handle: PendingLoginCaller | None, client: ClientDetails) -> WebAuthnOptions:
    """What to ask the browser for: any passkey of ours, or with a login under way one of its user.

    Raises PasskeysOff, TooManyAttempts, ProductNotFound, LoginOver, StepNotDue, PasskeyMissing.
    """
    passkeys.relying_party(world)
    return await (_options_for_anyone(world, origin, client) if handle is None else _options_for_user(world, handle))


async def _options_for_anyone(world: World, origin: Origin, client: ClientDetails) -> WebAuthnOptions:
    """The options for a login by a passkey alone: the same for everybody, for nobody is named yet (authentication R52)."""
    if client.product is not None:
        await catalog.get_product(world, client.product)
    async with world.db.write(commit_now=True) as tx:
        refusal = await attempts.count_post(tx, world, origin)
        if refusal is None:
            return passkeys.request_options(
                world, await passkey_challenges.issue(tx, world, ChallengeKind.GET, ChallengeOwner(), client), [], verifying=True
            )
    raise refusal


async def _options_for_user(world: World, handle: PendingLoginCaller) -> WebAuthnOptions:
    pending = await service.require_step(world, handle, RequiredStep.SECOND_FACTOR, RequiredStep.PASSKEY)
    async with world.db.write() as tx:
        allowed = await passkeys.list_credentials(tx, pending.user_id)
        if not allowed:
            raise PasskeyMissing
        challenge = await passkey_challenges.issue(tx, world, ChallengeKind.GET, _challenge_holder(pending))
    return passkeys.request_options(world, challenge, allowed, verifying=_needs_user_verification(pending))


def _challenge_holder(pending: PendingLogin) -> ChallengeOwner:
    return ChallengeOwner(pending.user_id, login_id=pending.login_id)


def _needs_user_verification(pending: PendingLogin) -> bool:
    """Whether a touch is not enough: for a passkey's own level, and where no password stands beside it (authentication R31)."""
    return pending.level == PASSKEY_LEVEL or pending.proofs.password_at is None


async def sign_in(world: World, origin: Origin, handle: PendingLoginCaller | None, credential: Credential) -> IssuedTokens | LoginChallenge:
    """Log in by a passkey alone, or go on with the login or step-up of a handle. Raises what `begin` and `go_on` raise."""
    return await (log_in(world, origin, credential) if handle is None else continue_login(world, origin, handle, credential))


async def log_in(world: World, origin: Origin, credential: Credential) -> IssuedTokens:
    """Log in by a passkey alone. One answer for all that does not fit: unknown, forged, suspended, unverified (authentication R49).

    Raises PasskeysOff, TooManyAttempts, ChallengeSpent, PasskeyRefused, UserVerificationRequired.
    """
    passkeys.relying_party(world)
    sign = await load_signer(world)
    await attempts.count_attempt(world, origin)
    answered = await passkey_challenges.spend(world, ChallengeKind.GET, ChallengeOwner(), credential)
    it = await _verify(world, origin, answered, credential, None, verifying=True)
    try:
        return await _open_session(world, sign, origin, it, answered.client)
    except PasskeyRefused:
        await _mark_suspect(world, it)
        await attempts.record_failure(world, origin, "passkey", it.owner.user_id, "spent")
        raise


async def _open_session(world: World, sign: Signer, origin: Origin, it: VerifiedPasskey, client: ClientDetails) -> IssuedTokens:
    now, user_id, epoch = world.clock.now(), it.owner.user_id, it.owner.auth_epoch
    async with world.db.write() as tx:
        if not await lock_account(tx, user_id, epoch) or not await passkeys.advance_counter(tx, it, now):
            raise PasskeyRefused
        proofs = Proofs(None, now, it.method, now, it.method)
        opened = await sessions.open_session(tx, world, origin, user_id, epoch, proofs, client)
        await attempts.record_success(tx, world, origin)
        return tokens.issue_tokens(world, sign, *opened)


async def continue_login(world: World, origin: Origin, handle: PendingLoginCaller, credential: Credential) -> IssuedTokens | LoginChallenge:
    """Go on with a login or a step-up by a passkey of its user.

    Raises PasskeysOff, LoginOver, StepNotDue, TooManyAttempts, ChallengeSpent, PasskeyRefused, UserVerificationRequired.
    """
    passkeys.relying_party(world)
    sign = await load_signer(world)
    await service.require_step(world, handle, RequiredStep.SECOND_FACTOR, RequiredStep.PASSKEY)
    pending = await service.count_attempt(world, origin, handle)
    answered = await passkey_challenges.spend(world, ChallengeKind.GET, _challenge_holder(pending), credential)
    it = await _verify(world, origin, answered, credential, pending.user_id, verifying=_needs_user_verification(pending))
    now = world.clock.now()

    async def spend(tx: Transaction) -> bool:
        return await passkeys.advance_counter(tx, it, now)

    shown = unfinished.with_second_factor(pending, now, it.method, verified=it.assertion.verified)
    try:
        return await service.finish_step(world, sign, origin, shown, spend, (), PasskeyRefused)
    except PasskeyRefused:
        await _mark_suspect(world, it)
        raise


async def begin_enrolment(world: World, handle: PendingLoginCaller) -> WebAuthnOptions:
    """Register a passkey in the middle of a login that cannot end without a second factor. Raises PasskeysOff, LoginOver, StepNotDue."""
    passkeys.relying_party(world)
    pending = await service.require_enrolment(world, handle)
    async with world.db.write() as tx:
        return await passkeys.creation_options(tx, world, _challenge_holder(pending))


async def confirm_enrolment(
    world: World, origin: Origin, handle: PendingLoginCaller, credential: Credential, named: Mapping[str, Any]
) -> IssuedTokens | LoginChallenge:
    """Store it and go on with the login, which it was shown in; the recovery codes come along, this once.

    Raises PasskeysOff, LoginOver, StepNotDue, TooManyAttempts, ChallengeSpent, PasskeyRefused, PasskeyTaken, TooManyPasskeys.
    """
    passkeys.relying_party(world)
    sign = await load_signer(world)
    await service.require_step(world, handle, RequiredStep.ENROLMENT)
    pending = await service.count_attempt(world, origin, handle)
    answered = await passkey_challenges.spend(world, ChallengeKind.CREATE, _challenge_holder(pending), credential)
    made = passkeys.verify_new(world, answered, credential)

    async def add(tx: Transaction) -> None:
        await passkeys.add(tx, world, Actor("user", pending.user_id), pending.user_id, made, named)

    return await service.finish_enrolment(
        world, sign, origin, unfinished.with_second_factor(pending, world.clock.now(), made.method, verified=True), add
    )


async def _verify(
    world: World, origin: Origin, answered: SpentChallenge, credential: Credential, user_id: UUID | None, *, verifying: bool
) -> VerifiedPasskey:
    """The passkey, if it is genuine, of this user or of anybody who may log in, and verified where that is wanted. Else noted (authentication R72)."""
    row = await passkeys.find(world, decode_base64url(credential["id"]))
    try:
        it = passkeys.verify(world, row, answered, credential, user_known=user_id is not None)
        if not _is_usable(it.owner, user_id):
            raise PasskeyRefused
        if verifying and not it.assertion.verified:
            raise UserVerificationRequired
    except (PasskeyRefused, UserVerificationRequired) as refusal:
        await attempts.record_failure(world, origin, "passkey", row.user_id if row is not None else None, _refusal_reason(refusal))
        raise
    return it


def _is_usable(owner: AnyRow, user_id: UUID | None) -> bool:
    mine = user_id is None or bool(owner.user_id == user_id)
    return mine and owner.status == Status.ACTIVE and owner.email_verified_at is not None


def _refusal_reason(refusal: Problem) -> str:
    return "unverified_user" if isinstance(refusal, UserVerificationRequired) else "wrong"


async def _mark_suspect(world: World, it: VerifiedPasskey) -> None:
    async with world.db.write(commit_now=True) as tx:
        await passkeys.mark_suspect(tx, world, it)
