"""Inserts a million licenses with a seat each by COPY, in half a minute. The keys of some of them are known."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from app.db.base import Base, table
from app.licenses.keys import generate_key
from app.licenses.models import Activation, License
from app.security.sealing import digest_token
from app.world import World
from ops.bench.crowd import LEASE, Licensed

KNOWN, PART = 50_000, 50_000
LICENSE = ("id", "policy_id", "key_hash", "key_last4", "starts_at", "overrides", "metadata", "rev", "created_at")
SEAT = (
    "id", "license_id", "user_key", "fingerprint", "token_hash", "token_sealed", "lease_expires_at", "activated_at", "last_seen_at",
    "created_at",
)  # fmt: skip
Record = tuple[Any, ...]


async def licenses(world: World, policy_id: UUID, size: int) -> Sequence[Licensed]:
    """Insert licenses of the policy; return those with a known key, spread over the whole table in its order."""
    known: list[Licensed] = []
    now = world.clock.now()
    async with world.db.query() as tx:
        raw = await tx.get_raw_connection()
        driver = raw.driver_connection
        # The rows fit each other as they are made; asking for each parent would take longer than the copy.
        await tx.exec_driver_sql("SET session_replication_role = replica")
        for start in range(0, size, PART):
            pairs = list(_pairs(world, policy_id, now, range(start, min(start + PART, size)), max(1, size // KNOWN), known))
            await _copy(driver, License, LICENSE, [grant for grant, _ in pairs])
            await _copy(driver, Activation, SEAT, [seat for _, seat in pairs])
        await tx.exec_driver_sql("RESET session_replication_role")
        await tx.exec_driver_sql("VACUUM ANALYZE")
        await tx.exec_driver_sql("ALTER SYSTEM SET autovacuum = off")  # it would write while others are watched for writing
        await tx.exec_driver_sql("SELECT pg_reload_conf()")
    return known


async def _copy(driver: Any, model: type[Base], columns: Sequence[str], records: Sequence[Record]) -> None:
    await cast(Any, driver).copy_records_to_table(table(model).name, records=records, columns=columns)


def _pairs(
    world: World, policy_id: UUID, now: datetime, numbers: range, stride: int, known: list[Licensed]
) -> Iterator[tuple[Record, Record]]:
    """Yield a license and its seat. Those that are not `known` are never requested, so any 32 bytes serve as the digest of a key."""
    for number in numbers:
        license_id, seat_id, fingerprint = world.entropy.identifier(), world.entropy.identifier(), f"device-{number}"
        if number % stride:
            digest, last4 = world.entropy.random_bytes(32), "0000"
        else:
            minted = generate_key(world.entropy, world.keys.lookup, "BENCH")
            digest, last4 = minted.digest, minted.last4
            known.append(Licensed(minted.text, digest, fingerprint))
        grant = (license_id, policy_id, digest, last4, now, "{}", "{}", 0, now)
        seat = (seat_id, license_id, "", fingerprint, digest_token(str(seat_id)), "", now + LEASE, now, now, now)
        yield grant, seat
