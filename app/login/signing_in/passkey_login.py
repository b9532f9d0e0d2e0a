"""Login by passkey: alone, without name and password, or as the second factor of a login or step-up.

A passkey that verified its user counts as two factors and is enough to open a session. Without user verification it only proves
possession: it can continue a login that began with a password, but not begin one (authentication R31).
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
from app.login.signing_in import pending as pending_logins
from app.login.signing_in import service
from app.login.signing_in.pending import LoginChallenge, PendingLogin
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.users.models import UserStatus
from app.web.callers import Origin, PendingLoginCaller
from app.world import World

BrowserCredential = Mapping[str, Any]


async def create_options(world: World, origin: Origin, handle: PendingLoginCaller | None, client: ClientDetails) -> WebAuthnOptions:
    """Create the browser's request options: for any passkey, or for the user's passkeys if a login is pending.

    Raises PasskeysOff, TooManyAttempts, ProductNotFound, LoginOver, StepNotDue, PasskeyMissing.
    """
    passkeys.require_relying_party(world)
    return await (_create_options_for_anyone(world, origin, client) if handle is None else _create_options_for_user(world, handle))


async def _create_options_for_anyone(world: World, origin: Origin, client: ClientDetails) -> WebAuthnOptions:
    """Create options for a login by passkey alone. They are the same for everyone, because no user is known yet (authentication R52)."""
    if client.product is not None:
        await catalog.get_product(world, client.product)
    async with world.db.write(commit_now=True) as tx:
        refusal = await attempts.count_post(tx, world, origin)
        if refusal is None:
            return passkeys.build_request_options(
                world, await passkey_challenges.issue(tx, world, ChallengeKind.GET, ChallengeOwner(), client), [], verifying=True
            )
    raise refusal


async def _create_options_for_user(world: World, handle: PendingLoginCaller) -> WebAuthnOptions:
    pending = await service.require_step(world, handle, RequiredStep.SECOND_FACTOR, RequiredStep.PASSKEY)
    async with world.db.write() as tx:
        allowed = await passkeys.list_credentials(tx, pending.user_id)
        if not allowed:
            raise PasskeyMissing
        challenge = await passkey_challenges.issue(tx, world, ChallengeKind.GET, _build_challenge_owner(pending))
    return passkeys.build_request_options(world, challenge, allowed, verifying=_needs_user_verification(pending))


def _build_challenge_owner(pending: PendingLogin) -> ChallengeOwner:
    return ChallengeOwner(pending.user_id, login_id=pending.login_id)


def _needs_user_verification(pending: PendingLogin) -> bool:
    """Report whether possession is not enough: for `aal2p`, and for logins without a password (authentication R31)."""
    return pending.level == PASSKEY_LEVEL or pending.proofs.password_at is None


async def sign_in(
    world: World, origin: Origin, handle: PendingLoginCaller | None, credential: BrowserCredential
) -> IssuedTokens | LoginChallenge:
    """Log in by passkey alone, or continue a login or step-up. Raises the problems of `log_in` and `continue_login`."""
    return await (log_in(world, origin, credential) if handle is None else continue_login(world, origin, handle, credential))


async def log_in(world: World, origin: Origin, credential: BrowserCredential) -> IssuedTokens:
    """Log in by passkey alone.

    An unknown or forged passkey and a suspended or unverified user get the same response (authentication R49).
    Raises PasskeysOff, TooManyAttempts, ChallengeSpent, PasskeyRefused, UserVerificationRequired.
    """
    passkeys.require_relying_party(world)
    token_signer = await load_signer(world)
    await attempts.count_attempt(world, origin)
    challenge = await passkey_challenges.spend(world, ChallengeKind.GET, ChallengeOwner(), credential)
    passkey = await _verify(world, origin, challenge, credential, None, needs_verification=True)
    try:
        return await _open_session(world, token_signer, origin, passkey, challenge.client)
    except PasskeyRefused:
        await _mark_suspect(world, passkey)
        await attempts.record_failure(world, origin, "passkey", passkey.owner.user_id, "spent")
        raise


async def _open_session(
    world: World, token_signer: Signer, origin: Origin, passkey: VerifiedPasskey, client: ClientDetails
) -> IssuedTokens:
    now, user_id, epoch = world.clock.now(), passkey.owner.user_id, passkey.owner.auth_epoch
    async with world.db.write() as tx:
        if not await lock_account(tx, user_id, epoch) or not await passkeys.advance_counter(tx, passkey, now):
            raise PasskeyRefused
        proofs = Proofs(None, now, passkey.method, now, passkey.method)
        session = await sessions.open_session(tx, world, origin, user_id, epoch, proofs, client)
        await attempts.record_success(tx, world, origin)
        return tokens.issue_tokens(world, token_signer, *session)


async def continue_login(
    world: World, origin: Origin, handle: PendingLoginCaller, credential: BrowserCredential
) -> IssuedTokens | LoginChallenge:
    """Continue a login or step-up with a passkey of its user.

    Raises PasskeysOff, LoginOver, StepNotDue, TooManyAttempts, ChallengeSpent, PasskeyRefused, UserVerificationRequired.
    """
    passkeys.require_relying_party(world)
    token_signer = await load_signer(world)
    await service.require_step(world, handle, RequiredStep.SECOND_FACTOR, RequiredStep.PASSKEY)
    pending = await service.count_attempt(world, origin, handle)
    challenge = await passkey_challenges.spend(world, ChallengeKind.GET, _build_challenge_owner(pending), credential)
    passkey = await _verify(world, origin, challenge, credential, pending.user_id, needs_verification=_needs_user_verification(pending))
    now = world.clock.now()

    async def spend(tx: Transaction) -> bool:
        return await passkeys.advance_counter(tx, passkey, now)

    advanced = pending_logins.add_second_factor(pending, now, passkey.method, verified=passkey.assertion.verified)
    try:
        return await service.finish_step(world, token_signer, origin, advanced, spend, (), PasskeyRefused)
    except PasskeyRefused:
        await _mark_suspect(world, passkey)
        raise


async def begin_enrolment(world: World, handle: PendingLoginCaller) -> WebAuthnOptions:
    """Create options to register a passkey during a login that requires a second factor. Raises PasskeysOff, LoginOver, StepNotDue."""
    passkeys.require_relying_party(world)
    pending = await service.require_enrolment(world, handle)
    async with world.db.write() as tx:
        return await passkeys.begin_registration(tx, world, _build_challenge_owner(pending))


async def confirm_enrolment(
    world: World, origin: Origin, handle: PendingLoginCaller, credential: BrowserCredential, attributes: Mapping[str, Any]
) -> IssuedTokens | LoginChallenge:
    """Store the new passkey and continue the login; the result includes the recovery codes, once.

    Raises PasskeysOff, LoginOver, StepNotDue, TooManyAttempts, ChallengeSpent, PasskeyRefused, PasskeyTaken, TooManyPasskeys.
    """
    passkeys.require_relying_party(world)
    token_signer = await load_signer(world)
    await service.require_step(world, handle, RequiredStep.ENROLMENT)
    pending = await service.count_attempt(world, origin, handle)
    challenge = await passkey_challenges.spend(world, ChallengeKind.CREATE, _build_challenge_owner(pending), credential)
    new_passkey = passkeys.verify_new(world, challenge, credential)

    async def add(tx: Transaction) -> None:
        await passkeys.add(tx, world, Actor("user", pending.user_id), pending.user_id, new_passkey, attributes)

    return await service.finish_enrolment(
        world, token_signer, origin, pending_logins.add_second_factor(pending, world.clock.now(), new_passkey.method, verified=True), add
    )


async def _verify(
    world: World,
    origin: Origin,
    challenge: SpentChallenge,
    credential: BrowserCredential,
    user_id: UUID | None,
    *,
    needs_verification: bool,
) -> VerifiedPasskey:
    """Verify the passkey's response: genuine, of this user (or of any user who may log in), and with user verification if required.

    A failure is recorded (authentication R72). Raises PasskeyRefused, UserVerificationRequired.
    """
    row = await passkeys.find(world, decode_base64url(credential["id"]))
    try:
        passkey = passkeys.verify(world, row, challenge, credential, user_known=user_id is not None)
        if not _is_usable(passkey.owner, user_id):
            raise PasskeyRefused
        if needs_verification and not passkey.assertion.verified:
            raise UserVerificationRequired
    except (PasskeyRefused, UserVerificationRequired) as refusal:
        await attempts.record_failure(world, origin, "passkey", row.user_id if row is not None else None, _choose_failure_reason(refusal))
        raise
    return passkey


def _is_usable(owner: AnyRow, user_id: UUID | None) -> bool:
    is_owner = user_id is None or bool(owner.user_id == user_id)
    return is_owner and owner.status == UserStatus.ACTIVE and owner.email_verified_at is not None


def _choose_failure_reason(refusal: Problem) -> str:
    return "unverified_user" if isinstance(refusal, UserVerificationRequired) else "wrong"


async def _mark_suspect(world: World, passkey: VerifiedPasskey) -> None:
    async with world.db.write(commit_now=True) as tx:
        await passkeys.mark_suspect(tx, world, passkey)
