"""Check, set and change passwords, and accept password hashes that another system created."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from app.base.problems import Busy, Malformed
from app.catalog.models import Product
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import attempts, notices
from app.login.locks import lock_subject
from app.login.models import Factor, FactorKind, FactorState
from app.login.problems import PasswordWrong, StepUpRequired
from app.login.rules import is_fully_authenticated
from app.login.sessions import revocation
from app.login.sessions.service import read_proofs
from app.mail.models import Template
from app.security.breach_lookup import is_breached
from app.security.foreign_hashes import unwrap_django_hash
from app.security.password_blocklist import find_fault
from app.security.passwords import count_code_points, normalise
from app.users.models import User
from app.web.callers import Origin, Subject
from app.web.problems import TokenInvalid
from app.world import World

MAX_PRODUCTS = 200
"""How many products' names are refused as passwords."""
ACTIVE_PASSWORD = (Factor.kind == FactorKind.PASSWORD, Factor.state == FactorState.ACTIVE)
"""Conditions for the password in use, of any user."""
_user_password = select(User.email, User.auth_epoch, Factor.id, Factor.hash, Factor.imported).outerjoin(
    Factor, (Factor.user_id == User.id) & ACTIVE_PASSWORD[0] & ACTIVE_PASSWORD[1]
)


async def check_and_hash(world: World, password: str, email: str, pointer: str) -> str:
    """Check a new password and return its hash. Every path that sets a password calls it. Raises Malformed, Busy.

    It must be long enough, not easy to guess and in no known breach; there are no other rules (authentication R1 to R4).
    """
    if count_code_points(password) < world.settings.password_min:
        raise Malformed([(pointer, "password_too_short", f"must have at least {world.settings.password_min} characters")])
    if (reason := find_fault(password, await _list_context_words(world, email))) is not None:
        raise Malformed([(pointer, *reason)])
    if world.settings.breach_lookup is not None and await is_breached(world.settings.breach_lookup, normalise(password)):
        raise Malformed([(pointer, "password_breached", "is known from a data breach; choose another one")])
    return await world.hasher.hash(password)


async def check_and_hash_change(world: World, user_id: UUID, password: str, pointer: str, *, may_stay: bool) -> str:
    """Check and hash the replacement of a password that must be changed. Raises Malformed, Busy.

    It must differ from the current one, unless `may_stay`.
    """

    async def find_current(tx: Transaction) -> AnyRow:
        return (await tx.execute(_user_password.where(User.id == user_id))).one()

    row = await world.db.query_with_retry(find_current)
    if not may_stay and row.hash is not None and await world.hasher.verify(password, row.hash, imported=bool(row.imported)):
        raise Malformed([(pointer, "password_unchanged", "must differ from the current password")])
    return await check_and_hash(world, password, row.email, pointer)


async def _list_context_words(world: World, email: str) -> Sequence[str]:
    """List words that an attacker would guess here: the account's address, the name of the service, and product names."""
    async with world.db.query() as tx:
        rows = (await tx.execute(select(Product.code, Product.name).limit(MAX_PRODUCTS))).all()
    return [email, email.partition("@")[0], world.settings.totp_issuer, "licentia", *(word for row in rows for word in row)]


def accept_imported_hash(world: World, hashed: str) -> str:
    """Return a hash of another system in its canonical form (authentication R9). Raises Malformed for an unknown type or excessive cost."""
    stored = unwrap_django_hash(hashed)
    if not world.hasher.can_verify(stored):
        detail = "must be a hash of argon2, bcrypt, pbkdf2, scrypt, Django or phpass, with a cost within the limits"
        raise Malformed([("/password_hash", "password_hash_refused", detail)])
    return stored


async def set_password(tx: Transaction, world: World, actor: Actor, user_id: UUID, hashed: str, **more: Any) -> None:
    """Set the password and revoke the previous one. The caller ends the sessions.

    `more`: further columns of the factor.
    """
    now, factor_id = world.clock.now(), world.entropy.identifier()
    old = update(Factor).where(Factor.user_id == user_id, *ACTIVE_PASSWORD).values(state=FactorState.REVOKED, hash=None, form=None)
    replaced = (await tx.execute(old)).rowcount
    values = {
        "id": factor_id,
        "user_id": user_id,
        "kind": FactorKind.PASSWORD,
        "state": FactorState.ACTIVE,
        "hash": hashed,
        "created_at": now,
        "confirmed_at": now,
        **more,
    }
    await tx.execute(insert(Factor).values(values))
    event = "password.changed" if replaced else "factor.added"
    await record(tx, world, event, actor, ("factor", factor_id), user_id, kind=FactorKind.PASSWORD)


async def rehash_if_outdated(world: World, password: str, stored: str, *, imported: bool) -> str | None:
    """Hash the password again if its stored hash is outdated (authentication R8); None if it is not, or if the hashing pool is full."""
    if world.hasher.needs_rehash(stored, imported=imported):
        with suppress(Busy):
            return await world.hasher.hash(password)
    return None


async def store_rehash(tx: Transaction, user_id: UUID, stored: str, new_hash: str) -> None:
    """Replace the verified hash by the new one, unless the password was changed meanwhile."""
    same = update(Factor).where(Factor.user_id == user_id, *ACTIVE_PASSWORD, Factor.hash == stored)
    await tx.execute(same.values(hash=new_hash, imported=False, form=None))


async def change(world: World, origin: Origin, subject: Subject, current: str, new: str) -> None:
    """Change one's own password and end every other session and pending login (authentication R59).

    The attempt limit of the password applies here too (authentication R45). A session opened with a recovery code is refused,
    even if the account has no second factor any more (authentication R28).

    Raises StepUpRequired, TooManyAttempts, PasswordWrong, Malformed.
    """
    now, lifetime = world.clock.now(), world.settings.second_factor_lifetime
    if "rc" in subject.amr or not is_fully_authenticated(
        read_proofs(subject), has_second_factor=subject.has_second_factor, now=now, lifetime=lifetime
    ):
        raise StepUpRequired("Authenticate with the second factor again.", {"acr_values": "aal2", "max_age": 300})
    row = await _find_current(world, subject)
    await _check_current(world, origin, subject, row, current)
    hashed = await check_and_hash(world, new, row.email, "/new")
    async with world.db.write() as tx:
        await lock_subject(tx, world, subject)
        await revocation.end_all(tx, world, subject.actor, subject.id, "password_changed", session_id=subject.session_id)
        same = update(Factor).where(Factor.id == row.id, *ACTIVE_PASSWORD, Factor.hash == row.hash).values(hash=row.hash)
        if not (await tx.execute(same)).rowcount:
            raise PasswordWrong  # another request changed it at the same moment
        await set_password(tx, world, subject.actor, subject.id, hashed)
        await notices.notify(tx, world, subject.id, Template.PASSWORD_CHANGED)


async def _check_current(world: World, origin: Origin, subject: Subject, row: AnyRow, current: str) -> None:
    """Count an attempt and check the current password. Raises TooManyAttempts, PasswordWrong.

    A correct password resets the counter, whether or not the new password is then accepted.
    """
    key = attempts.build_password_key(world, row.email)
    await attempts.count_attempt(world, origin, key)
    if not await attempts.run_counted(world, origin, key, world.hasher.verify(current, row.hash, imported=bool(row.imported))):
        await attempts.record_failure(world, origin, "password", subject.id, "wrong")
        raise PasswordWrong
    async with world.db.write(commit_now=True) as tx:
        await attempts.record_success(tx, world, origin, key)


async def _find_current(world: World, subject: Subject) -> AnyRow:
    async def find(tx: Transaction) -> AnyRow | None:
        return (await tx.execute(_user_password.where(User.id == subject.id))).one_or_none()

    row = await world.db.query_with_retry(find)
    if row is None:
        raise TokenInvalid
    return row
