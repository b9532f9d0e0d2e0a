"""Login by a mailed code instead of a forgotten password. An operator starts it and never sees the code (authentication R79).

The code proves only the mailbox. It opens a pending login that requires the second factor, if there is one, and then a new password.
"""

import hmac
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update

from app.base.base32 import correct_lookalikes, random_characters, strip_separators
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import attempts
from app.login.account import lookup
from app.login.locks import lock_account
from app.login.mailed_tokens import MAX_ATTEMPTS, OneTimeToken, Purpose
from app.login.problems import CodeRefused, LoginCodeImpossible
from app.login.rules import Proofs
from app.login.sessions.service import UNKNOWN_CLIENT, ClientDetails
from app.login.signing_in import pending as pending_logins
from app.login.signing_in.pending import LoginChallenge, PendingLogin
from app.mail.models import Template
from app.users.models import User, UserStatus
from app.users.problems import UserNotFound
from app.users.rules import fold_identifier
from app.web.callers import Origin
from app.world import World

LIFETIME = timedelta(minutes=10)
CODE_LENGTH = 8
NO_USER = UUID(int=0)
"""The id used in the statements for an unknown user, so that they take the same time."""

_user_by_email = select(User.id, User.status, User.email_verified_at, User.auth_epoch).where(User.email_folded == bindparam("identifier"))


def _hash_code(world: World, user_id: UUID, epoch: int, code: str) -> bytes:
    """Return the keyed digest of a code for this account and epoch; a new epoch voids the code (authentication R59)."""
    return world.keys.lookup.digest("login_code", f"{user_id}\0{epoch}\0{code}")


async def mail_code(world: World, actor: Actor, user_id: UUID) -> datetime:
    """Mail a code to the user's verified address and return its expiry. An earlier code becomes invalid.

    Raises UserNotFound, LoginCodeImpossible.
    """
    code = random_characters(world.entropy, CODE_LENGTH)
    async with world.db.write() as tx:
        row = await lookup.find_by_id(tx, user_id)
        if row is None:
            raise UserNotFound
        if (because := _find_obstacle(world, row)) is not None or not await lock_account(tx, user_id, row.auth_epoch):
            raise LoginCodeImpossible(facts={"because": because or "changed"})
        now = world.clock.now()
        await _void_codes(tx, user_id, now)
        await _insert_code(tx, world, row, code, now)
        await record(tx, world, "login_code.mailed", actor, ("user", user_id), user_id)
        formatted = f"{code[:4]}-{code[4:]}"
        await lookup.mail_owner(tx, world, row, Template.LOGIN_CODE, {"token": formatted, "expires": now + LIFETIME})
    return now + LIFETIME


def _find_obstacle(world: World, row: AnyRow) -> str | None:
    if not world.settings.mail_configured:
        return "mail_not_configured"
    if row.status != UserStatus.ACTIVE:
        return str(row.status)
    return "unverified" if row.email_verified_at is None else None


async def _void_codes(tx: Transaction, user_id: UUID, now: datetime) -> None:
    earlier = (OneTimeToken.user_id == user_id, OneTimeToken.purpose == Purpose.LOGIN_CODE, OneTimeToken.used_at.is_(None))
    await tx.execute(update(OneTimeToken).where(*earlier).values(used_at=now))


async def _insert_code(tx: Transaction, world: World, row: AnyRow, code: str, now: datetime) -> None:
    values = {
        "id": world.entropy.identifier(),
        "token_hash": _hash_code(world, row.id, row.auth_epoch, code),
        "purpose": Purpose.LOGIN_CODE,
        "user_id": row.id,
        "attempts": 0,
        "created_at": now,
        "expires_at": now + LIFETIME,
    }
    await tx.execute(insert(table(OneTimeToken)).values(values))


async def begin_with_code(
    world: World, origin: Origin, identifier: str, code: str, client: ClientDetails = UNKNOWN_CLIENT
) -> LoginChallenge:
    """Begin a login by the code.

    For unknown, suspended and unverified users and for wrong and spent codes, statements and response are the same (authentication R49).
    Attempts are counted before the check: per address, per name, and five per code (authentication R40, R43, R56).
    Raises ProductNotFound, TooManyAttempts, CodeRefused.
    """
    user = await lookup.find_with_product(world, _user_by_email, {"identifier": fold_identifier(identifier)}, client.product)
    key = attempts.build_login_code_key(world, identifier)
    await attempts.count_attempt(world, origin, key)
    user_id, epoch = (user.id, user.auth_epoch) if user is not None else (NO_USER, 0)
    stored_code = await _count_attempt(world, user_id)
    digest = stored_code.token_hash if stored_code is not None else bytes(32)
    is_right = hmac.compare_digest(digest, _hash_code(world, user_id, epoch, correct_lookalikes(strip_separators(code).upper())))
    try:
        if user is None or stored_code is None or not is_right or user.status != UserStatus.ACTIVE or user.email_verified_at is None:
            raise CodeRefused
        return await _begin(world, origin, PendingLogin(None, user_id, None, epoch, Proofs(None, None), client), stored_code.id, key)
    except CodeRefused:
        await attempts.record_failure(world, origin, "login_code", user.id if user is not None else None, "wrong")
        raise


async def _count_attempt(world: World, user_id: UUID) -> AnyRow | None:
    """Count one attempt on the account's code; None if it has no usable code or no attempts left."""
    usable = (
        OneTimeToken.user_id == user_id,
        OneTimeToken.purpose == Purpose.LOGIN_CODE,
        OneTimeToken.used_at.is_(None),
        OneTimeToken.expires_at > world.clock.now(),
        OneTimeToken.attempts < MAX_ATTEMPTS,
    )
    count = update(OneTimeToken).where(*usable).values(attempts=OneTimeToken.attempts + 1)
    async with world.db.write(commit_now=True) as tx:
        return (await tx.execute(count.returning(OneTimeToken.id, OneTimeToken.token_hash))).one_or_none()


async def _begin(world: World, origin: Origin, pending: PendingLogin, code_id: UUID, key: bytes) -> LoginChallenge:
    """Spend the code and create the pending login in one transaction. Raises CodeRefused if the code was already spent."""
    async with world.db.write() as tx:
        if not await lock_account(tx, pending.user_id, pending.epoch):
            raise CodeRefused
        now = world.clock.now()
        unused = (OneTimeToken.id == code_id, OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now)
        if not (await tx.execute(update(OneTimeToken).where(*unused).values(used_at=now))).rowcount:
            raise CodeRefused
        actor = Actor("user", pending.user_id)
        await record(tx, world, "login_code.used", actor, ("user", pending.user_id), pending.user_id)
        challenge = await pending_logins.begin(tx, world, pending)
        await attempts.record_success(tx, world, origin, key)
        return challenge
