"""Register and verify passkeys, and suspend a passkey whose signature counter goes back (authentication R29 to R36).

Fingerprint, face and PIN stay on the user's device. We receive a signature and a flag: whether the user was verified by one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, LargeBinary, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import notices
from app.login.conditions import LIVE_PASSKEY as _LIVE
from app.login.factors import passkey_challenges
from app.login.factors.passkey_challenges import Challenge, ChallengeKind, ChallengeOwner, SpentChallenge
from app.login.factors.webauthn import (
    HANDLE_BYTES,
    Assertion,
    InvalidCredential,
    NewCredential,
    RegisteredCredential,
    RelyingParty,
    choose_amr_value,
    decode_base64url,
)
from app.login.models import Factor, FactorKind, FactorState
from app.login.problems import PasskeyRefused, PasskeysOff, PasskeyTaken, TooManyPasskeys
from app.login.sessions import revocation
from app.mail.models import Template
from app.users.data_lifecycle import lock_unless_erased
from app.users.models import User
from app.world import World

MAX_PASSKEYS = 20
"""Maximum of active passkeys per account."""
_of_user = select(Factor.credential_id, Factor.transports).where(_LIVE, Factor.user_id == bindparam("user"))
_by_credential = (
    select(
        Factor.id,
        Factor.user_id,
        Factor.public_key,
        Factor.synced,
        User.handle,
        User.status,
        User.email_verified_at,
        User.auth_epoch,
    )
    .join(User, User.id == Factor.user_id)
    .where(_LIVE, Factor.credential_id == bindparam("credential", type_=LargeBinary))
)


@dataclass(frozen=True)
class WebAuthnOptions:
    """The `publicKey` argument of `navigator.credentials`, in its JSON form."""

    public_key: Mapping[str, Any]
    expires_at: datetime


@dataclass(frozen=True)
class VerifiedPasskey:
    """A passkey whose assertion was verified, before its counter is advanced. `owner`: the passkey's row with its user's columns."""

    factor_id: UUID
    owner: AnyRow = field(repr=False)
    assertion: Assertion

    @property
    def method(self) -> str:
        return choose_amr_value(synced=bool(self.owner.synced))


def require_relying_party(world: World) -> RelyingParty:
    """Return the relying party from the settings. Raises PasskeysOff."""
    party = RelyingParty.of(world.settings)
    if party is None:
        raise PasskeysOff
    return party


async def list_credentials(tx: Transaction, user_id: UUID | None) -> list[RegisteredCredential]:
    """List the active passkeys of a user."""
    return [RegisteredCredential(row.credential_id, row.transports or ()) for row in await tx.execute(_of_user, {"user": user_id})]


async def begin_registration(tx: Transaction, world: World, owner: ChallengeOwner) -> WebAuthnOptions:
    """Create the options for registering another passkey.

    The user is identified to it by a random handle, created with the first passkey (authentication R35).
    """
    user_id = owner.user_id
    set_handle = update(User).where(User.id == user_id, User.handle.is_(None)).values(handle=world.entropy.random_bytes(HANDLE_BYTES))
    await tx.execute(set_handle)
    user = (await tx.execute(select(User.handle, User.email, User.display_name).where(User.id == user_id))).one()
    challenge = await passkey_challenges.issue(tx, world, ChallengeKind.CREATE, owner)
    existing = await list_credentials(tx, user_id)
    display_name = user.display_name or user.email
    options = require_relying_party(world).creation_options(challenge.value, user.handle, user.email, display_name, existing)
    return WebAuthnOptions(options, challenge.expires_at)


def build_request_options(world: World, challenge: Challenge, allowed: list[RegisteredCredential], *, verifying: bool) -> WebAuthnOptions:
    """Create the options for an assertion by one of these passkeys, or by any passkey if the list is empty."""
    return WebAuthnOptions(
        require_relying_party(world).request_options(challenge.value, allowed, verifying=verifying), challenge.expires_at
    )


def verify_new(world: World, spent: SpentChallenge, credential: Mapping[str, Any]) -> NewCredential:
    """Verify a registration response, including user verification. Raises PasskeyRefused."""
    try:
        return require_relying_party(world).verify_registration(dict(credential), spent.challenge)
    except InvalidCredential as error:
        raise PasskeyRefused from error


async def add(tx: Transaction, world: World, actor: Actor, user_id: UUID, credential: NewCredential, labels: Mapping[str, Any]) -> UUID:
    """Store a passkey with its `name` and `transports`. Raises TooManyPasskeys, PasskeyTaken.

    The caller must have locked the account; otherwise concurrent requests could exceed the limit.
    """
    now, factor_id = world.clock.now(), world.entropy.identifier()
    if (await tx.execute(select(func.count()).where(Factor.user_id == user_id, _LIVE))).scalar_one() >= MAX_PASSKEYS:
        raise TooManyPasskeys
    values = {
        **labels,
        "id": factor_id,
        "user_id": user_id,
        "kind": FactorKind.PASSKEY,
        "state": FactorState.ACTIVE,
        "credential_id": credential.id,
        "public_key": credential.public_key,
        "sign_count": credential.sign_count,
        "synced": credential.synced,
        "backed_up": credential.backed_up,
        "created_at": now,
        "confirmed_at": now,
    }
    try:
        await tx.execute(insert(Factor).values(values))
    except IntegrityError as error:
        if dialect.violates_unique(error, table(Factor), "credential_id"):
            raise PasskeyTaken from error
        raise
    await record(tx, world, "factor.added", actor, ("factor", factor_id), user_id, kind=FactorKind.PASSKEY)
    await notices.notify(tx, world, user_id, Template.FACTOR_ADDED, kind=FactorKind.PASSKEY)
    return factor_id


async def find(world: World, credential_id: bytes) -> AnyRow | None:
    """Find an active passkey and its owner by credential id."""
    return await world.db.query_with_retry(lambda tx: _find(tx, credential_id))


async def _find(tx: Transaction, credential_id: bytes) -> AnyRow | None:
    return (await tx.execute(_by_credential, {"credential": credential_id})).one_or_none()


def verify(world: World, row: AnyRow | None, spent: SpentChallenge, credential: Mapping[str, Any], *, user_known: bool) -> VerifiedPasskey:
    """Verify a credential against the stored passkey. Raises PasskeyRefused.

    The authenticator returns the user handle. It is required unless the user was known before (WebAuthn Level 3 section 7.2 step 6).
    """
    handle = credential["response"].get("userHandle")
    if row is None or not _is_owner(row.handle, handle, user_known=user_known):
        raise PasskeyRefused
    try:
        assertion = require_relying_party(world).verify_assertion(dict(credential), spent.challenge, row.public_key)
    except InvalidCredential as error:
        raise PasskeyRefused from error
    return VerifiedPasskey(row.id, row, assertion)


def _is_owner(handle: bytes, presented: str | None, *, user_known: bool) -> bool:
    if presented is None:
        return user_known
    try:
        return decode_base64url(presented) == handle
    except ValueError:
        return False


async def advance_counter(tx: Transaction, passkey: VerifiedPasskey, now: datetime) -> bool:
    """Advance the signature counter in one guarded statement; False if the counter did not grow (authentication R32).

    An authenticator without a counter always sends 0, so 0 after 0 is accepted.
    """
    count = passkey.assertion.sign_count
    values = {"sign_count": count, "backed_up": passkey.assertion.backed_up, "used_at": now}
    forward = update(Factor).where(Factor.id == passkey.factor_id, _LIVE, _permits_count(count)).values(values)
    return (await tx.execute(forward)).rowcount == 1


def _permits_count(count: int) -> ColumnElement[bool]:
    """Build the condition that the stored counter permits this count."""
    return Factor.sign_count < count if count else Factor.sign_count == 0


async def mark_suspect(tx: Transaction, world: World, passkey: VerifiedPasskey) -> None:
    """Suspend a passkey whose counter did not grow, because a copy of it may exist (authentication R32).

    Sessions opened with a passkey end, and the owner is notified.
    """
    if not await lock_unless_erased(tx, passkey.owner.user_id):  # the user's row comes first in the lock order
        return
    behind = (
        update(Factor)
        .where(Factor.id == passkey.factor_id, _LIVE, ~_permits_count(passkey.assertion.sign_count))
        .values(state=FactorState.SUSPECT)
    )
    if not (await tx.execute(behind)).rowcount:
        return
    user_id, about = passkey.owner.user_id, ("factor", passkey.factor_id)
    await record(tx, world, "factor.suspected", Actor.system(), about, user_id, kind=FactorKind.PASSKEY)
    await revocation.end_passkey_sessions(tx, world, Actor.system(), user_id)
    await notices.notify(tx, world, user_id, Template.PASSKEY_SUSPECTED)
