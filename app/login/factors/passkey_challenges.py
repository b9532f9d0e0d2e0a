"""Passkey challenges: each has one owner, is valid for five minutes and is spent before its answer is checked (authentication R29)."""

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
from app.login.factors.webauthn import CHALLENGE_BYTES, InvalidCredential, read_challenge
from app.login.problems import ChallengeSpent
from app.login.sessions.service import UNKNOWN_CLIENT, ClientDetails
from app.security.sealing import digest_token
from app.world import World

LIFETIME = timedelta(minutes=5)


class ChallengeKind(StrEnum):
    """The WebAuthn ceremony: `create` registers a credential, `get` requests an assertion."""

    CREATE = "create"
    GET = "get"


class PasskeyCeremony(Base):
    """A challenge, stored as a digest.

    It belongs to a session that registers a passkey, to a pending login, or to no user yet; only then are the client's details stored.
    `session_id` and `login_id` may outlive the rows that they name, so they are not foreign keys.
    """

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
    """The owner of a challenge: a user's session, a user's pending login, or any client (all fields None)."""

    user_id: UUID | None = None
    session_id: UUID | None = None
    login_id: UUID | None = None


@dataclass(frozen=True)
class Challenge:
    """A new challenge: 32 random bytes."""

    value: bytes = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class SpentChallenge:
    """A challenge after it was spent. `client`: the client details stored when it was issued."""

    challenge: bytes = field(repr=False)
    client: ClientDetails


async def issue(
    tx: Transaction, world: World, kind: ChallengeKind, owner: ChallengeOwner, client: ClientDetails = UNKNOWN_CLIENT
) -> Challenge:
    """Create and store a challenge."""
    now, challenge = world.clock.now(), world.entropy.random_bytes(CHALLENGE_BYTES)
    values = {
        "id": world.entropy.identifier(),
        "kind": kind,
        "challenge_hash": _digest_challenge(challenge),
        "user_id": owner.user_id,
        "session_id": owner.session_id,
        "login_id": owner.login_id,
        "product": client.product,
        "device": client.device,
        "device_digest": client.digest,
        "created_at": now,
        "expires_at": now + LIFETIME,
    }
    await tx.execute(insert(PasskeyCeremony).values(values))
    return Challenge(challenge, now + LIFETIME)


async def spend(world: World, kind: ChallengeKind, owner: ChallengeOwner, credential: Mapping[str, Any]) -> SpentChallenge:
    """Spend the challenge that a credential answers, before the credential is verified. Raises ChallengeSpent.

    The challenge must belong to this owner; a challenge of another owner is left unspent.
    """
    try:
        challenge = read_challenge(dict(credential))
    except InvalidCredential:
        raise ChallengeSpent from None
    now = world.clock.now()
    owned = [getattr(PasskeyCeremony, name).is_not_distinct_from(value) for name, value in vars(owner).items()]
    matches = (PasskeyCeremony.challenge_hash == _digest_challenge(challenge), PasskeyCeremony.kind == kind, *owned)
    unspent = update(PasskeyCeremony).where(*matches, PasskeyCeremony.used_at.is_(None), PasskeyCeremony.expires_at > now)
    async with world.db.write(commit_now=True) as tx:
        row = (await tx.execute(unspent.values(used_at=now).returning(*table(PasskeyCeremony).columns))).one_or_none()
    if row is None:
        raise ChallengeSpent
    return SpentChallenge(challenge, _read_client(row))


def _read_client(row: AnyRow) -> ClientDetails:
    return ClientDetails(row.product, row.device, row.device_digest)


def _digest_challenge(challenge: bytes) -> bytes:
    return digest_token(challenge.hex())
