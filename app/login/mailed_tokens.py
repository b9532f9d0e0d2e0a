"""Mailed one-time tokens that prove access to a mailbox. Stored as a digest; their payload is encrypted in the same row."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ForeignKey, Text, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, table
from app.db.database import Transaction
from app.db.types import AnyRow, Digest, Identifier, Instant, Reference, Word
from app.security.sealing import Place, digest_token
from app.users.rules import fold_identifier
from app.world import World

MAX_ATTEMPTS = 5
"""Wrong codes accepted with a correct token before the token becomes invalid."""


class Purpose(StrEnum):
    """The purpose of a mailed token."""

    REGISTER = "register"
    VERIFY = "verify_email"
    CHANGE = "change_email"
    RESET = "reset_password"
    LOGIN_CODE = "login_code"


PREFIXES = {Purpose.REGISTER: "vfy_", Purpose.VERIFY: "vfy_", Purpose.CHANGE: "vfy_", Purpose.RESET: "rst_"}


class OneTimeToken(Base):
    """A mailed token. A row without `user_id` and `subject` is a decoy.

    `subject` is a digest of the address of a registration without a user, or of the session that requested a change.
    """

    __tablename__ = "one_time_tokens"

    id: Mapped[Identifier]
    token_hash: Mapped[Digest] = mapped_column(unique=True)
    purpose: Mapped[Word]
    user_id: Mapped[Reference | None] = mapped_column(ForeignKey("users.id"), index=True)
    subject: Mapped[Digest | None] = mapped_column(index=True)
    payload_sealed: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    used_at: Mapped[Instant | None]


@dataclass(frozen=True)
class MailedToken:
    """A new token, to be mailed once."""

    token: str = field(repr=False)
    expires_at: datetime


def digest_address(world: World, address: str) -> bytes:
    """Return the keyed digest of an address; the address itself is not stored."""
    return world.keys.lookup.digest("registration", fold_identifier(address))


def digest_session(world: World, session_id: UUID) -> bytes:
    """Return the keyed digest of the session that requested a token."""
    return world.keys.lookup.digest("one_time.session", session_id.hex)


def _build_place(token_id: UUID) -> Place:
    return Place("one_time_tokens", "payload_sealed", token_id)


def read_payload(world: World, row: AnyRow) -> dict[str, Any]:
    """Decrypt the token's payload. Raises SealBroken."""
    values: dict[str, Any] = json.loads(world.keys.sealer.open(row.payload_sealed, _build_place(row.id)))
    return values


def read_epoch(world: World, row: AnyRow) -> int:
    """Return the account's epoch at the time of issue; 0 if the payload has none."""
    return int(read_payload(world, row).get("epoch", 0))


async def issue(
    tx: Transaction, world: World, purpose: Purpose, *, owner: AnyRow | None = None, subject: bytes | None = None, **content: Any
) -> MailedToken:
    """Insert a new token for an account or for a `subject` digest.

    Without either it is a decoy that costs the same time (authentication R50). The token of an account carries the account's epoch:
    an action that ends all sessions also invalidates the token (authentication R59).
    """
    now, token_id, token = world.clock.now(), world.entropy.identifier(), world.entropy.secret(PREFIXES[purpose])
    lifetime = world.settings.reset_lifetime if purpose is Purpose.RESET else world.settings.verify_lifetime
    content["epoch"] = owner.auth_epoch if owner is not None else 0
    values = {
        "id": token_id,
        "token_hash": digest_token(token),
        "purpose": purpose,
        "user_id": owner.id if owner is not None else None,
        "subject": subject,
        "payload_sealed": world.keys.sealer.seal(json.dumps(content).encode(), _build_place(token_id)),
        "attempts": 0,
        "created_at": now,
        "expires_at": now + lifetime,
    }
    await tx.execute(insert(OneTimeToken).values(values))
    return MailedToken(token, now + lifetime)


def _build_usable_conditions(token: str, purposes: Sequence[Purpose], now: datetime) -> tuple[ColumnElement[bool], ...]:
    unused = (OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now, OneTimeToken.attempts < MAX_ATTEMPTS)
    return (OneTimeToken.token_hash == digest_token(token), OneTimeToken.purpose.in_(purposes), *unused)


async def find_usable(tx: Transaction, world: World, token: str, *purposes: Purpose) -> AnyRow | None:
    """Return the row of a token that could be spent now, without spending it."""
    usable = select(*table(OneTimeToken).columns).where(*_build_usable_conditions(token, purposes, world.clock.now()))
    return (await tx.execute(usable)).one_or_none()


async def count_attempt(tx: Transaction, world: World, token: str, purpose: Purpose) -> bool:
    """Count a code that is presented with the token, before it is checked; False if the token cannot be used."""
    count = (
        update(OneTimeToken)
        .where(*_build_usable_conditions(token, [purpose], world.clock.now()))
        .values(attempts=OneTimeToken.attempts + 1)
    )
    return (await tx.execute(count)).rowcount == 1


async def spend(tx: Transaction, world: World, token: str, *purposes: Purpose) -> AnyRow | None:
    """Spend the token in one guarded statement; only one of several concurrent calls gets the row."""
    now = world.clock.now()
    unused = (OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now)
    matching = (OneTimeToken.token_hash == digest_token(token), OneTimeToken.purpose.in_(purposes))
    spent = update(OneTimeToken).where(*matching, *unused).values(used_at=now).returning(*table(OneTimeToken).columns)
    return (await tx.execute(spent)).one_or_none()


async def void_for_user(tx: Transaction, world: World, user_id: UUID) -> None:
    """Void all other mailed tokens of the user (authentication R59)."""
    await _void(tx, world, OneTimeToken.user_id == user_id)


async def void_for_session(tx: Transaction, world: World, session_id: UUID) -> None:
    """Void the tokens that an ended session had requested (authentication R59)."""
    await _void(tx, world, OneTimeToken.subject == digest_session(world, session_id))


async def _void(tx: Transaction, world: World, condition: ColumnElement[bool]) -> None:
    # Expired rows are left to housekeeping: it deletes them, and locking them here could deadlock with it.
    now = world.clock.now()
    usable = update(OneTimeToken).where(condition, OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now)
    await tx.execute(usable.values(used_at=now))


async def list_registrations(tx: Transaction, world: World, address: str) -> Sequence[AnyRow]:
    """List the pending registrations of this address, newest first."""
    usable = (OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > world.clock.now())
    registrations = select(*table(OneTimeToken).columns).where(OneTimeToken.subject == digest_address(world, address), *usable)
    return (await tx.execute(registrations.order_by(OneTimeToken.id.desc()))).all()


async def lock_registrations(tx: Transaction, row: AnyRow) -> None:
    """Lock all pending registrations of the same address, ordered by id, so that concurrent verifications are serialised."""
    same_address = select(OneTimeToken.id).where(OneTimeToken.subject == row.subject, OneTimeToken.used_at.is_(None))
    await tx.execute(same_address.order_by(OneTimeToken.id).with_for_update())


async def void_registrations(tx: Transaction, world: World, address: str) -> None:
    """Void all other registrations of an address that is now verified (authentication R77)."""
    await _void(tx, world, OneTimeToken.subject == digest_address(world, address))
