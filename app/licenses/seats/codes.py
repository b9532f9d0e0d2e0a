"""Activation codes: short secrets that a client exchanges for a seat, so that users need not handle the license key."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, or_, select, update

from app.base.problems import Malformed
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.licenses import locks
from app.licenses.keys import digest_code, generate_code
from app.licenses.models import ActivationCode
from app.licenses.problems import ActivationCodeBound, ActivationCodeInvalid, ActivationCodeSpent, LicenseNotFound
from app.users.models import User
from app.users.rules import fold_identifier
from app.web.callers import EndUser
from app.web.paging import PageWindow, read_page
from app.world import World

_codes = select(
    ActivationCode.id,
    ActivationCode.license_id,
    ActivationCode.max_uses,
    ActivationCode.uses,
    ActivationCode.email,
    ActivationCode.expires_at,
    ActivationCode.revoked_at,
    ActivationCode.created_at,
)


async def create_codes(
    world: World, actor: Actor, license_id: UUID, *, count: int, max_uses: int, expires_at: datetime | None, email: str | None = None
) -> list[tuple[UUID, str]]:
    """Create codes of a license and return them as (id, code); only digests are stored. Raises LicenseNotFound, LicenseRevoked."""
    now = world.clock.now()
    if expires_at is not None and expires_at <= now:
        raise Malformed([("/expires_at", "in_the_past", "must be in the future")])
    secrets = [(world.entropy.identifier(), generate_code(world.entropy, world.keys.lookup)) for _ in range(count)]
    rows = [
        {
            "id": code_id,
            "license_id": license_id,
            "code_hash": secret.digest,
            "max_uses": max_uses,
            "uses": 0,
            "email": email,
            "email_folded": fold_identifier(email) if email is not None else None,
            "expires_at": expires_at,
            "created_at": now,
        }
        for code_id, secret in secrets
    ]
    async with world.db.write() as tx:
        await locks.lock_unrevoked(tx, world, license_id)
        await tx.execute(insert(table(ActivationCode)), rows)
        await record(tx, world, "activation_code.created", actor, ("license", license_id), count=count)
    return [(code_id, secret.text) for code_id, secret in secrets]


async def list_codes(world: World, license_id: UUID, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    """List the codes of a license, newest first. Raises LicenseNotFound."""
    async with world.db.read() as tx:
        if not await locks.license_exists(tx, license_id):
            raise LicenseNotFound
        return await read_page(tx, _codes.where(ActivationCode.license_id == license_id), ActivationCode.id, window)


async def revoke_code(world: World, actor: Actor, code_id: UUID) -> None:
    """Revoke a code; seats that it took stay. Revoking again changes nothing. Raises ActivationCodeInvalid."""
    async with world.db.write() as tx:
        row = (await tx.execute(_codes.where(ActivationCode.id == code_id))).one_or_none()
        if row is None:
            raise ActivationCodeInvalid
        unrevoked = update(ActivationCode).where(ActivationCode.id == code_id, ActivationCode.revoked_at.is_(None))
        if (await tx.execute(unrevoked.values(revoked_at=world.clock.now()))).rowcount:
            await record(tx, world, "activation_code.revoked", actor, ("license", row.license_id), code=str(code_id))


async def find_code(tx: Transaction, world: World, text: str) -> AnyRow:
    """Find the code that was typed. Raises ActivationCodeInvalid, for unknown and malformed codes alike."""
    statement = _codes.where(ActivationCode.code_hash == digest_code(world.keys.lookup, text))
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        raise ActivationCodeInvalid
    return row


async def check_recipient(tx: Transaction, code: AnyRow, end_user: EndUser | None) -> None:
    """Check that the code has no address, or the verified one of this end user. Raises ActivationCodeBound, without the address."""
    if code.email is None:
        return
    recipient = select(User.id).where(User.id == (end_user.id if end_user else None), User.email_folded == fold_identifier(code.email))
    if end_user is None or await tx.scalar(recipient.where(User.email_verified_at.is_not(None))) is None:
        raise ActivationCodeBound("Log in as the end user that the code was sent to.")


async def check_usable(tx: Transaction, code_id: UUID, now: datetime) -> None:
    """Check that the code can be used once more, without using it. Raises ActivationCodeSpent."""
    if await tx.scalar(select(ActivationCode.id).where(*_build_usable_conditions(code_id, now))) is None:
        raise ActivationCodeSpent


def _build_usable_conditions(code_id: UUID, now: datetime) -> tuple[Any, ...]:
    return (
        ActivationCode.id == code_id,
        ActivationCode.uses < ActivationCode.max_uses,
        ActivationCode.revoked_at.is_(None),
        or_(ActivationCode.expires_at.is_(None), ActivationCode.expires_at > now),
    )


async def spend(tx: Transaction, code_id: UUID, now: datetime) -> None:
    """Use the code once, by one guarded statement whose row count decides. Raises ActivationCodeSpent."""
    if not (
        await tx.execute(update(ActivationCode).where(*_build_usable_conditions(code_id, now)).values(uses=ActivationCode.uses + 1))
    ).rowcount:
        raise ActivationCodeSpent
