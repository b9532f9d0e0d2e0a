"""Challenges under way: each is bound to whoever it was given to, lives five minutes and is spent before anything is checked (authentication R29)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, String, insert, update
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, table
from app.db.database import Transaction
from app.db.types import AnyRow, Digest, Identifier, Instant, Json, Reference, Word
from app.login.factors.webauthn import CHALLENGE_BYTES, InvalidCredential, challenge_of
from app.login.problems import ChallengeSpent
from app.login.sessions.service import UNKNOWN_CLIENT, ClientDetails
from app.security.sealing import token_digest
from app.world import World

LIFETIME = timedelta(minutes=5)


class ChallengeKind(StrEnum):
    """As WebAuthn calls the two ceremonies: `create` a credential, `get` an assertion by one."""

    CREATE = "create"
    GET = "get"


class PasskeyCeremony(Base):
    """A challenge, as its digest. Of a session that registers, of an unfinished login, or of nobody yet; then with what the application
    said of itself. `session_id` and `login_id` outlive their rows, so they are no foreign keys."""

    __tablename__ = "passkey_ceremonies"

    id: Mapped[Identifier]
    kind: Mapped[Word]
    challenge_hash: Mapped[Digest] = mapped_column(unique=True)
    user_id: Mapped[Reference | None] = mapped_column(ForeignKey("users.id"), index=True)
    session_id: Mapped[Reference | None]
    login_id: Mapped[Reference | None]
    product: Mapped[str | None] = mapped_column(String(64))
    device: Mapped[dict[str, Any] | None] = mapped_column(Json)
    device_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    used_at: Mapped[Instant | None]


@dataclass(frozen=True)
class ChallengeOwner:
    """To whom a challenge is given: to a session of a user, to a login of one, or to whoever asks."""

    user_id: UUID | None = None
    session_id: UUID | None = None
    login_id: UUID | None = None


@dataclass(frozen=True)
class Challenge:
    value: bytes = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class SpentChallenge:
    """A challenge that was spent by an answer; `client` is what was said when it was asked for."""

    challenge: bytes = field(repr=False)
    client: ClientDetails


async def issue(
    tx: Transaction, world: World, kind: ChallengeKind, holder: ChallengeOwner, client: ClientDetails = UNKNOWN_CLIENT
) -> Challenge:
    """A new challenge."""
    now, octets = world.clock.now(), world.entropy.random_bytes(CHALLENGE_BYTES)
    values = {
        "id": world.entropy.identifier(),
        "kind": kind,
        "challenge_hash": _digest(octets),
        "user_id": holder.user_id,
        "session_id": holder.session_id,
        "login_id": holder.login_id,
        "product": client.product,
        "device": client.device,
        "device_digest": client.digest,
        "created_at": now,
        "expires_at": now + LIFETIME,
    }
    await tx.execute(insert(PasskeyCeremony).values(values))
    return Challenge(octets, now + LIFETIME)


async def spend(world: World, kind: ChallengeKind, holder: ChallengeOwner, credential: Mapping[str, Any]) -> SpentChallenge:
    """Spend the challenge that a credential says it answers, whatever then comes of it. Raises ChallengeSpent.

    It has to be one that was given to this holder: another's is not even spent.
    """
    try:
        octets = challenge_of(dict(credential))
    except InvalidCredential:
        raise ChallengeSpent from None
    now = world.clock.now()
    bound = [getattr(PasskeyCeremony, name).is_not_distinct_from(value) for name, value in vars(holder).items()]
    mine = (PasskeyCeremony.challenge_hash == _digest(octets), PasskeyCeremony.kind == kind, *bound)
    unspent = update(PasskeyCeremony).where(*mine, PasskeyCeremony.used_at.is_(None), PasskeyCeremony.expires_at > now)
    async with world.db.write(commit_now=True) as tx:
        row = (await tx.execute(unspent.values(used_at=now).returning(*table(PasskeyCeremony).columns))).one_or_none()
    if row is None:
        raise ChallengeSpent
    return SpentChallenge(octets, _client(row))


def _client(row: AnyRow) -> ClientDetails:
    return ClientDetails(row.product, row.device, row.device_digest)


def _digest(octets: bytes) -> bytes:
    return token_digest(octets.hex())
