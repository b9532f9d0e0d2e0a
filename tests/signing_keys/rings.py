"""Encryption keys, and rows of every kind that is sealed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy import insert, select

from app.config.keys import decode_key, decode_ring
from app.db.base import table
from app.mail.models import Message
from app.models import METADATA
from app.security.sealing import Place, Sealer
from app.security.signing import SignerCache
from app.signing_keys import sealing_keys
from app.signing_keys.sealing_keys import RewrapProgress
from app.world import World
from tests.given import Given, Person
from tests.random_keys import SECRETS, random_key

OLD, NEW = decode_ring(SECRETS["LICENTIA_ENCRYPTION_KEYS"])["t1"], decode_key(random_key())
COLUMNS = sealing_keys.list_sealed_columns(METADATA)


def with_keys(world: World, **ring: bytes) -> World:
    """Return another process with these encryption keys, the same database, and an empty cache of signing keys."""
    return replace(world, keys=replace(world.keys, sealer=Sealer(ring, world.entropy), signing=SignerCache()))


def serve(app: FastAPI, given: Given, **ring: bytes) -> World:
    """Continue with these encryption keys."""
    given.world = app.state.world = with_keys(given.world, **ring)
    return given.world


async def rewrap_all(world: World) -> dict[str, RewrapProgress]:
    return {each.name: each for each in await sealing_keys.rewrap(world, COLUMNS, lambda _: None)}


async def count_by_key(world: World) -> dict[str, int]:
    """Count the values that each key has sealed, over all columns."""
    return {kid: sum(rows.values()) for kid, rows in (await sealing_keys.count_by_key(world, COLUMNS)).items()}


@dataclass(frozen=True)
class Holdings:
    """A person, a license and a seat that depend on sealed rows."""

    person: Person
    license: dict[str, Any]
    seat: dict[str, Any]


async def create_every_kind(given: Given) -> Holdings:
    """Create a row of every sealed kind: signing key, authenticator and its letter, seat, mailed token, response, webhook secrets."""
    person, license_ = await given.with_totp(), await given.seats()
    seat = await given.activation(license_)
    await given.post("/v1/password/forgot", {"identifier": person.email}, {})
    await create_customer(given, "kept")
    hook = await given.post("/v1/webhooks", {"url": "https://hooks.example.com/licentia", "types": ["webhook.disabled"]})
    await given.post(f"/v1/webhooks/{hook['id']}/rotate-secret")
    return Holdings(person, license_, seat)


async def create_customer(given: Given, key: str) -> Any:
    """Create a customer with an `Idempotency-Key`; return the response."""
    return await given.client.post("/v1/customers", json={"name": "Ola"}, headers={**given.root, "Idempotency-Key": key})


def place(row: UUID) -> Place:
    return Place("messages", "recipient_sealed", row)


async def insert_letters(world: World, count: int) -> list[UUID]:
    """Insert letters with different sealed addresses; return their ids."""
    ids, now = [world.entropy.identifier() for _ in range(count)], world.clock.now()
    common = {"template": "new_login", "locale": "en", "created_at": now, "due_at": now, "attempts": 0}
    async with world.db.write() as tx:
        values = [{**common, "id": each, "recipient_sealed": world.keys.sealer.seal(each.hex.encode(), place(each))} for each in ids]
        await tx.execute(insert(table(Message)), values)
    return ids


async def read_addresses(world: World) -> Sequence[tuple[UUID, str]]:
    async with world.db.query() as tx:
        rows = await tx.execute(select(Message.id, Message.recipient_sealed).order_by(Message.id))
        return [(row.id, str(row.recipient_sealed)) for row in rows]
