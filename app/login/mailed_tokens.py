"""What is mailed and proves a mailbox: a secret that works once. Stored as a digest; what hangs on it is sealed beside it."""

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
from app.security.sealing import Place, token_digest
from app.users.rules import fold_identifier
from app.world import World

MAX_ATTEMPTS = 5
"""Wrong codes beside a right token before the token is dead."""


class Purpose(StrEnum):
    REGISTER = "register"
    VERIFY = "verify_email"
    CHANGE = "change_email"
    RESET = "reset_password"
    LOGIN_CODE = "login_code"


PREFIXES = {Purpose.REGISTER: "vfy_", Purpose.VERIFY: "vfy_", Purpose.CHANGE: "vfy_", Purpose.RESET: "rst_"}


class OneTimeToken(Base):
    """`subject` recognises the address of a registration that has no user yet, or the session that asked for a change. A row with
    neither user nor subject is a decoy."""

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
    token: str = field(repr=False)
    expires_at: datetime


def digest_address(world: World, address: str) -> bytes:
    """What recognises an address without naming it."""
    return world.keys.lookup.digest("registration", fold_identifier(address))


def digest_session(world: World, session_id: UUID) -> bytes:
    """What recognises the session that asked."""
    return world.keys.lookup.digest("one_time.session", session_id.hex)


def _place(token_id: UUID) -> Place:
    return Place("one_time_tokens", "payload_sealed", token_id)


def read_payload(world: World, row: AnyRow) -> dict[str, Any]:
    """What hangs on the token. Raises SealBroken."""
    told: dict[str, Any] = json.loads(world.keys.sealer.open(row.payload_sealed, _place(row.id)))
    return told


def read_epoch(world: World, row: AnyRow) -> int:
    """Of which epoch of the account the token is; one that tells none is of the first, as no other can be told to be alive."""
    return int(read_payload(world, row).get("epoch", 0))


async def issue(
    tx: Transaction, world: World, purpose: Purpose, *, owner: AnyRow | None = None, subject: bytes | None = None, **hung: Any
) -> MailedToken:
    """A new token, for an account or for whatever `subject` recognises. With neither it is a decoy: the same work, worth nothing (authentication R50).

    The token of an account is of the epoch that its row told: whatever ends the sessions ends it too (authentication R59).
    """
    now, token_id, token = world.clock.now(), world.entropy.identifier(), world.entropy.secret(PREFIXES[purpose])
    lifetime = world.settings.reset_lifetime if purpose is Purpose.RESET else world.settings.verify_lifetime
    hung["epoch"] = owner.auth_epoch if owner is not None else 0
    values = {
        "id": token_id,
        "token_hash": token_digest(token),
        "purpose": purpose,
        "user_id": owner.id if owner is not None else None,
        "subject": subject,
        "payload_sealed": world.keys.sealer.seal(json.dumps(hung).encode(), _place(token_id)),
        "attempts": 0,
        "created_at": now,
        "expires_at": now + lifetime,
    }
    await tx.execute(insert(OneTimeToken).values(values))
    return MailedToken(token, now + lifetime)


def _good(token: str, purposes: Sequence[Purpose], now: datetime) -> tuple[ColumnElement[bool], ...]:
    unused = (OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now, OneTimeToken.attempts < MAX_ATTEMPTS)
    return (OneTimeToken.token_hash == token_digest(token), OneTimeToken.purpose.in_(purposes), *unused)


async def find_usable(tx: Transaction, world: World, token: str, *purposes: Purpose) -> AnyRow | None:
    """The row of a token that could be spent now. Nothing is spent by it."""
    good = select(*table(OneTimeToken).columns).where(*_good(token, purposes, world.clock.now()))
    return (await tx.execute(good)).one_or_none()


async def count_attempt(tx: Transaction, world: World, token: str, purpose: Purpose) -> bool:
    """Count a code that comes with the token, before it is looked at."""
    tried = update(OneTimeToken).where(*_good(token, [purpose], world.clock.now())).values(attempts=OneTimeToken.attempts + 1)
    return (await tx.execute(tried)).rowcount == 1


async def spend(tx: Transaction, world: World, token: str, *purposes: Purpose) -> AnyRow | None:
    """Spend the token: one guarded statement, and only one of many gets the row."""
    now = world.clock.now()
    unused = (OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now)
    mine = (OneTimeToken.token_hash == token_digest(token), OneTimeToken.purpose.in_(purposes))
    spent = update(OneTimeToken).where(*mine, *unused).values(used_at=now).returning(*table(OneTimeToken).columns)
    return (await tx.execute(spent)).one_or_none()


async def void_for_user(tx: Transaction, world: World, user_id: UUID) -> None:
    """Every other mailed proof of the user dies with what it was mailed for (authentication R59)."""
    await _spend_all(tx, world, OneTimeToken.user_id == user_id)


async def void_for_session(tx: Transaction, world: World, session_id: UUID) -> None:
    """Whatever a session that ended had asked for (authentication R59)."""
    await _spend_all(tx, world, OneTimeToken.subject == digest_session(world, session_id))


async def _spend_all(tx: Transaction, world: World, whose: ColumnElement[bool]) -> None:
    # Those past their time are left to housekeeping, which would otherwise wait for us while we wait for it.
    now = world.clock.now()
    left = update(OneTimeToken).where(whose, OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now)
    await tx.execute(left.values(used_at=now))


async def list_registrations(tx: Transaction, world: World, address: str) -> Sequence[AnyRow]:
    """The registrations of this address that wait for their proof, the newest first."""
    waits = (OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > world.clock.now())
    mine = select(*table(OneTimeToken).columns).where(OneTimeToken.subject == digest_address(world, address), *waits)
    return (await tx.execute(mine.order_by(OneTimeToken.id.desc()))).all()


async def lock_registrations(tx: Transaction, row: AnyRow) -> None:
    """Hold whatever waits beside this registration of an address, always in the same order, so that two proofs take turns."""
    beside = select(OneTimeToken.id).where(OneTimeToken.subject == row.subject, OneTimeToken.used_at.is_(None))
    await tx.execute(beside.order_by(OneTimeToken.id).with_for_update())


async def void_registrations(tx: Transaction, world: World, address: str) -> None:
    """Whatever others had registered under an address that is proven now (authentication R77)."""
    await _spend_all(tx, world, OneTimeToken.subject == digest_address(world, address))
