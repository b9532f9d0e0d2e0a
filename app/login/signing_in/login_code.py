"""A login by a mailed code in the place of a forgotten password: the operator starts it and never sees the code (authentication R79).

The code proves the mailbox and nothing else. What it opens is an unfinished login that wants the second factor, if there is one,
and then a new password (`rules.need`); no session comes of it otherwise.
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
from app.login.signing_in import pending as unfinished
from app.login.signing_in.pending import LoginChallenge, PendingLogin
from app.mail.models import Template
from app.users.models import Status, User
from app.users.problems import UserNotFound
from app.users.rules import fold_identifier
from app.web.callers import Origin
from app.world import World

LIFETIME = timedelta(minutes=10)
SIGNS = 8
NOBODY = UUID(int=0)

_who = select(User.id, User.status, User.email_verified_at, User.auth_epoch).where(User.email_folded == bindparam("identifier"))


def _digest(world: World, user_id: UUID, epoch: int, code: str) -> bytes:
    """What recognises the code of this account, and of this epoch of it: whatever ends its sessions ends its codes (authentication R59)."""
    return world.keys.lookup.digest("login_code", f"{user_id}\0{epoch}\0{code}")


async def mail_code(world: World, actor: Actor, user_id: UUID) -> datetime:
    """Mail a code to the user's proven address; until when it is good. An earlier one is dead.

    Raises UserNotFound, LoginCodeImpossible.
    """
    code = random_characters(world.entropy, SIGNS)
    async with world.db.write() as tx:
        row = await lookup.find_by_id(tx, user_id)
        if row is None:
            raise UserNotFound
        if (because := _hindrance(world, row)) is not None or not await lock_account(tx, user_id, row.auth_epoch):
            raise LoginCodeImpossible(facts={"because": because or "changed"})
        now = world.clock.now()
        await _drop(tx, user_id, now)
        await _put(tx, world, row, code, now)
        await record(tx, world, "login_code.mailed", actor, ("user", user_id), user_id)
        shown = f"{code[:4]}-{code[4:]}"
        await lookup.mail_owner(tx, world, row, Template.LOGIN_CODE, {"token": shown, "expires": now + LIFETIME})
    return now + LIFETIME


def _hindrance(world: World, row: AnyRow) -> str | None:
    if not world.settings.mail_configured:
        return "mail_not_configured"
    if row.status != Status.ACTIVE:
        return str(row.status)
    return "unverified" if row.email_verified_at is None else None


async def _drop(tx: Transaction, user_id: UUID, now: datetime) -> None:
    mine = (OneTimeToken.user_id == user_id, OneTimeToken.purpose == Purpose.LOGIN_CODE, OneTimeToken.used_at.is_(None))
    await tx.execute(update(OneTimeToken).where(*mine).values(used_at=now))


async def _put(tx: Transaction, world: World, row: AnyRow, code: str, now: datetime) -> None:
    values = {
        "id": world.entropy.identifier(),
        "token_hash": _digest(world, row.id, row.auth_epoch, code),
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
    """Begin a login by the code. One answer, after the same statements, for unknown, suspended, unverified, wrong and spent (authentication R49).

    Counted before it is looked at: for the address, for the name, and five times for each code (authentication R40, R43, R56).
    Raises ProductNotFound, TooManyAttempts, CodeRefused.
    """
    who = await lookup.find_with_product(world, _who, {"identifier": fold_identifier(identifier)}, client.product)
    key = attempts.login_code_key(world, identifier)
    await attempts.count_attempt(world, origin, key)
    user_id, epoch = (who.id, who.auth_epoch) if who is not None else (NOBODY, 0)
    found = await _tried(world, user_id)
    stored = found.token_hash if found is not None else bytes(32)
    fits = hmac.compare_digest(stored, _digest(world, user_id, epoch, correct_lookalikes(strip_separators(code).upper())))
    try:
        if who is None or found is None or not fits or who.status != Status.ACTIVE or who.email_verified_at is None:
            raise CodeRefused
        return await _begin(world, origin, PendingLogin(None, user_id, None, epoch, Proofs(None, None), client), found.id, key)
    except CodeRefused:
        await attempts.record_failure(world, origin, "login_code", who.id if who is not None else None, "wrong")
        raise


async def _tried(world: World, user_id: UUID) -> AnyRow | None:
    """Count one try on the account's code; None when there is none that is good, or it is out of tries."""
    good = (
        OneTimeToken.user_id == user_id,
        OneTimeToken.purpose == Purpose.LOGIN_CODE,
        OneTimeToken.used_at.is_(None),
        OneTimeToken.expires_at > world.clock.now(),
        OneTimeToken.attempts < MAX_ATTEMPTS,
    )
    counted = update(OneTimeToken).where(*good).values(attempts=OneTimeToken.attempts + 1)
    async with world.db.write(commit_now=True) as tx:
        return (await tx.execute(counted.returning(OneTimeToken.id, OneTimeToken.token_hash))).one_or_none()


async def _begin(world: World, origin: Origin, pending: PendingLogin, code_id: UUID, key: bytes) -> LoginChallenge:
    """Spend the code and hand out the unfinished login, in one transaction. Raises CodeRefused for whoever comes second."""
    async with world.db.write() as tx:
        if not await lock_account(tx, pending.user_id, pending.epoch):
            raise CodeRefused
        now = world.clock.now()
        unused = (OneTimeToken.id == code_id, OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now)
        if not (await tx.execute(update(OneTimeToken).where(*unused).values(used_at=now))).rowcount:
            raise CodeRefused
        by = Actor("user", pending.user_id)
        await record(tx, world, "login_code.used", by, ("user", pending.user_id), pending.user_id)
        begun = await unfinished.begin(tx, world, pending)
        await attempts.record_success(tx, world, origin, key)
        return begun
