"""Passkeys: registering one, showing one, and what becomes of one whose counter goes back (authentication R29 to R36).

Fingerprint, face and PIN stay on the user's device; what we get is a signature, and a flag that says whether one of them was shown.
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
    amr_value,
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
    """What `navigator.credentials` wants as its `publicKey`, in its JSON form."""

    public_key: Mapping[str, Any]
    expires_at: datetime


@dataclass(frozen=True)
class VerifiedPasskey:
    """A passkey that was shown, before its counter is moved. `owner` is its user's row."""

    factor_id: UUID
    owner: AnyRow = field(repr=False)
    assertion: Assertion

    @property
    def method(self) -> str:
        return amr_value(synced=bool(self.owner.synced))


def relying_party(world: World) -> RelyingParty:
    """Raises PasskeysOff."""
    it = RelyingParty.of(world.settings)
    if it is None:
        raise PasskeysOff
    return it


async def list_credentials(tx: Transaction, user_id: UUID | None) -> list[RegisteredCredential]:
    """The live passkeys of a user."""
    return [RegisteredCredential(row.credential_id, row.transports or ()) for row in await tx.execute(_of_user, {"user": user_id})]


async def creation_options(tx: Transaction, world: World, holder: ChallengeOwner) -> WebAuthnOptions:
    """The options for one passkey more. The user is named to it by a handle of chance, made at the first one (authentication R35)."""
    user_id = holder.user_id
    fresh = update(User).where(User.id == user_id, User.handle.is_(None)).values(handle=world.entropy.random_bytes(HANDLE_BYTES))
    await tx.execute(fresh)
    user = (await tx.execute(select(User.handle, User.email, User.display_name).where(User.id == user_id))).one()
    challenge = await passkey_challenges.issue(tx, world, ChallengeKind.CREATE, holder)
    existing = await list_credentials(tx, user_id)
    named = user.display_name or user.email
    made = relying_party(world).creation_options(challenge.value, user.handle, user.email, named, existing)
    return WebAuthnOptions(made, challenge.expires_at)


def request_options(world: World, challenge: Challenge, allowed: list[RegisteredCredential], *, verifying: bool) -> WebAuthnOptions:
    """The options for showing one of these, or any."""
    return WebAuthnOptions(relying_party(world).request_options(challenge.value, allowed, verifying=verifying), challenge.expires_at)


def verify_new(world: World, answered: SpentChallenge, credential: Mapping[str, Any]) -> NewCredential:
    """The new passkey, if the answer is genuine and its user was verified. Raises PasskeyRefused."""
    try:
        return relying_party(world).registered(dict(credential), answered.challenge)
    except InvalidCredential as wrong:
        raise PasskeyRefused from wrong


async def add(tx: Transaction, world: World, actor: Actor, user_id: UUID, it: NewCredential, named: Mapping[str, Any]) -> UUID:
    """Store it with its `name` and `transports`. The caller holds the account, so that the limit is kept.

    Raises TooManyPasskeys, PasskeyTaken.
    """
    now, factor_id = world.clock.now(), world.entropy.identifier()
    if (await tx.execute(select(func.count()).where(Factor.user_id == user_id, _LIVE))).scalar_one() >= MAX_PASSKEYS:
        raise TooManyPasskeys
    values = {**named, "id": factor_id, "user_id": user_id, "kind": FactorKind.PASSKEY, "state": FactorState.ACTIVE, "created_at": now}
    values |= {"confirmed_at": now, "credential_id": it.id, "public_key": it.public_key, "sign_count": it.sign_count}
    values |= {"synced": it.synced, "backed_up": it.backed_up}
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
    """The live passkey of an id, with its owner."""
    return await world.db.find(lambda session: _one(session, credential_id))


async def _one(tx: Transaction, credential_id: bytes) -> AnyRow | None:
    return (await tx.execute(_by_credential, {"credential": credential_id})).one_or_none()


def verify(
    world: World, row: AnyRow | None, answered: SpentChallenge, credential: Mapping[str, Any], *, user_known: bool
) -> VerifiedPasskey:
    """The passkey of the row, if the credential is one of it. Raises PasskeyRefused.

    The authenticator says whose it is by the handle; it has to where nobody was `named` before it was asked (section 7.2 step 6).
    """
    handle = credential["response"].get("userHandle")
    if row is None or not _of_owner(row.handle, handle, user_known=user_known):
        raise PasskeyRefused
    try:
        shown = relying_party(world).asserted(dict(credential), answered.challenge, row.public_key)
    except InvalidCredential as wrong:
        raise PasskeyRefused from wrong
    return VerifiedPasskey(row.id, row, shown)


def _of_owner(handle: bytes, told: str | None, *, user_known: bool) -> bool:
    if told is None:
        return user_known
    try:
        return decode_base64url(told) == handle
    except ValueError:
        return False


async def advance_counter(tx: Transaction, it: VerifiedPasskey, now: datetime) -> bool:
    """Move the counter forward: one guarded statement. False when it would not; 0 after 0 is a passkey that does not count (authentication R32)."""
    count = it.assertion.sign_count
    values = {"sign_count": count, "backed_up": it.assertion.backed_up, "used_at": now}
    forward = update(Factor).where(Factor.id == it.factor_id, _LIVE, _ahead(count)).values(values)
    return (await tx.execute(forward)).rowcount == 1


def _ahead(count: int) -> ColumnElement[bool]:
    return Factor.sign_count < count if count else Factor.sign_count == 0


async def mark_suspect(tx: Transaction, world: World, it: VerifiedPasskey) -> None:
    """Put a passkey out of use whose counter did not go forward: somebody may have a copy, and may be in by it. Its owner is told (authentication R32)."""
    if not await lock_unless_erased(tx, it.owner.user_id):  # the user's row first, as whoever ends sessions takes it
        return
    behind = update(Factor).where(Factor.id == it.factor_id, _LIVE, ~_ahead(it.assertion.sign_count)).values(state=FactorState.SUSPECT)
    if not (await tx.execute(behind)).rowcount:
        return
    user_id, about = it.owner.user_id, ("factor", it.factor_id)
    await record(tx, world, "factor.suspected", Actor.system(), about, user_id, kind=FactorKind.PASSKEY)
    await revocation.end_passkey_sessions(tx, world, Actor.system(), user_id)
    await notices.notify(tx, world, user_id, Template.PASSKEY_SUSPECTED)
