"""Bulk inserts: licenses with a seat each, and end users with an authenticator each."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from app.db.base import Base, table
from app.licenses.keys import generate_key
from app.licenses.models import Activation, License
from app.login.factors.totp import SECRET_BYTES
from app.login.models import Factor, FactorKind, FactorState
from app.security.sealing import Place, digest_token
from app.users.models import User, UserStatus
from app.world import World
from tests.given import PASSWORD

LEASE = timedelta(days=7)


@dataclass(frozen=True)
class Licensed:
    """A license key, and the device that has a seat of it."""

    key: str
    digest: bytes
    fingerprint: str


@dataclass(frozen=True)
class Member:
    """An end user with PASSWORD and an authenticator with this base32 secret."""

    email: str
    secret: str


async def licenses(world: World, policy_id: UUID, count: int) -> list[Licensed]:
    """Insert licenses of this policy, each with one active seat."""
    created: list[Licensed] = []
    grants: list[dict[str, Any]] = []
    seats: list[dict[str, Any]] = []
    for number in range(count):
        minted, license_id = generate_key(world.entropy, world.keys.lookup, "BENCH"), world.entropy.identifier()
        created.append(Licensed(minted.text, minted.digest, f"device-{number}"))
        grants.append(_grant(world, license_id, policy_id, minted.digest, minted.last4))
        seats.append(_seat(world, license_id, f"device-{number}"))
    await _put(world, License, grants)
    await _put(world, Activation, seats)
    return created


def _grant(world: World, license_id: UUID, policy_id: UUID, digest: bytes, last4: str) -> dict[str, Any]:
    now = world.clock.now()
    columns = {"id": license_id, "policy_id": policy_id, "key_hash": digest, "key_last4": last4}
    return {**columns, "starts_at": now, "metadata": {}, "rev": 0, "created_at": now}


def _seat(world: World, license_id: UUID, fingerprint: str) -> dict[str, Any]:
    now, seat_id = world.clock.now(), world.entropy.identifier()
    return {
        "id": seat_id,
        "license_id": license_id,
        "user_key": "",
        "fingerprint": fingerprint,
        "token_hash": digest_token(str(seat_id)),
        "token_sealed": "",
        "lease_expires_at": now + LEASE,
        "activated_at": now,
        "last_seen_at": now,
        "created_at": now,
    }


async def members(world: World, count: int) -> list[Member]:
    """Insert end users with password and authenticator. All share one hash, which costs the same to check."""
    hashed = await world.hasher.hash(PASSWORD)
    created = [Member(f"member-{number}@example.com", _secret(world)) for number in range(count)]
    ids = await people(world, [member.email for member in created], hashed)
    await _put(world, Factor, [_device(world, user_id, member) for user_id, member in zip(ids, created, strict=True)])
    return created


async def people(world: World, emails: Sequence[str], hashed: str | None, *, imported: bool = False, **more: Any) -> list[UUID]:
    """Insert end users with this password hash, or without one. `more`: further column values."""
    ids = [world.entropy.identifier() for _ in emails]
    await _put(world, User, [{**_user(world, user_id, email), **more} for user_id, email in zip(ids, emails, strict=True)])
    if hashed is not None:
        own = {"hash": hashed, "imported": imported}
        await _put(world, Factor, [_factor(world, user_id, FactorKind.PASSWORD, world.entropy.identifier(), **own) for user_id in ids])
    return ids


def _secret(world: World) -> str:
    return base64.b32encode(world.entropy.random_bytes(SECRET_BYTES)).decode()


def _user(world: World, user_id: UUID, email: str) -> dict[str, Any]:
    now = world.clock.now()
    columns = {"id": user_id, "email": email, "email_folded": email, "email_verified_at": now}
    return {**columns, "status": UserStatus.ACTIVE, "metadata": {}, "created_at": now}


def _device(world: World, user_id: UUID, member: Member) -> dict[str, Any]:
    factor_id = world.entropy.identifier()
    sealed = world.keys.sealer.seal(member.secret.encode(), Place("factors", "secret_sealed", factor_id))
    return _factor(world, user_id, FactorKind.TOTP, factor_id, secret_sealed=sealed)


def _factor(world: World, user_id: UUID, kind: FactorKind, factor_id: UUID, **more: Any) -> dict[str, Any]:
    now = world.clock.now()
    return {
        "id": factor_id,
        "user_id": user_id,
        "kind": kind,
        "state": FactorState.ACTIVE,
        "attempts": 0,
        "created_at": now,
        "confirmed_at": now,
        **more,
    }


async def _put(world: World, model: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    async with world.db.write() as tx:
        await tx.execute(insert(table(model)), list(rows))
