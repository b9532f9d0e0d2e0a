"""Rotation of signing keys: a key is next, then active, then retired; a leaked one is revoked (authentication R63).

A key is published a day before it signs, so that clients that cache the key set know it by then. Retired keys stay published,
because receipts must verify years later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update

from app.db import dialect
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.security.signing import SigningKey
from app.signing_keys.models import KeyState, SigningKeyRow
from app.signing_keys.problems import KeyInUse, KeyNotFound, KeyTooYoung
from app.signing_keys.service import insert_key, load_signer
from app.world import World

PUBLISHED_AHEAD = timedelta(hours=24)
LOCK = "signing_keys"
"""The lock that rotations and revocations take, so that each sees the result of the previous one."""

_Key = SigningKeyRow
_every_key = select(_Key.kid, _Key.state, _Key.created_at, _Key.activated_at, _Key.retired_at).order_by(_Key.created_at.desc(), _Key.kid)
_usable = _Key.state.in_([KeyState.ACTIVE, KeyState.NEXT])
_lock_usable = update(_Key).where(_usable).values(state=_Key.state).returning(_Key.kid, _Key.state, _Key.created_at)


@dataclass(frozen=True)
class Rotation:
    """The result of a rotation: the `kid` of the key that signs now, and of the next one."""

    active: str
    next: str


async def list_keys(world: World) -> Sequence[AnyRow]:
    """List every signing key, retired and revoked ones included, newest first."""
    return await world.db.query_many(_every_key, {})


async def rotate_keys(world: World, *, at_once: bool = False) -> Rotation:
    """Activate the next key, retire the active one, and publish a new next key.

    If no next key is published yet, publish one and leave the active key as it is. `at_once` does not wait for caches: for a key that
    leaked. Raises KeyTooYoung.
    """
    await load_signer(world)  # creates the first key if there is none
    fresh, now = SigningKey.generate(), world.clock.now()
    async with world.db.write() as tx:
        active, waiting = await _lock_keys(tx)
        if waiting is not None:
            _must_be_old_enough(waiting, now, at_once=at_once)
            active = await _activate_next(tx, world, active, waiting.kid)
        elif at_once:
            active = await _activate_new(tx, world, active, fresh)
            fresh = SigningKey.generate()
        await insert_key(tx, world, fresh, KeyState.NEXT)
    world.keys.signing.signer = None
    return Rotation(active, fresh.kid)


async def revoke_key(world: World, kid: str) -> None:
    """Revoke a leaked key: remove it from the published set and refuse the access tokens that it signed.

    The ledger still proves which receipts it signed before it leaked. Raises KeyNotFound, and KeyInUse for the active key: rotate first.
    """
    now = world.clock.now()
    async with world.db.write() as tx:
        await dialect.lock_by_name(tx, LOCK)
        idle = (SigningKeyRow.kid == kid, SigningKeyRow.state.in_([KeyState.NEXT, KeyState.RETIRED]))
        if not (await tx.execute(update(SigningKeyRow).where(*idle).values(state=KeyState.REVOKED, retired_at=now))).rowcount:
            state = await tx.scalar(select(SigningKeyRow.state).where(SigningKeyRow.kid == kid))
            if state is None:
                raise KeyNotFound
            if state == KeyState.ACTIVE:
                raise KeyInUse
            return
        await record(tx, world, "signing_key.revoked", Actor.system(), ("signing_key", world.entropy.identifier()), revoked=kid)
    world.keys.signing.signer = None


async def _lock_keys(tx: Transaction) -> tuple[str, AnyRow | None]:
    """Lock the active and the next key; return the `kid` of the active one, and the row of the next one if there is one.

    The update writes each state over itself, which locks the rows: older releases do not take `LOCK`, and a key that one of them
    revokes meanwhile must not become active.
    """
    await dialect.lock_by_name(tx, LOCK)
    rows = {row.state: row for row in await tx.execute(_lock_usable)}
    return str(rows[KeyState.ACTIVE].kid), rows.get(KeyState.NEXT)


def _must_be_old_enough(waiting: AnyRow, now: datetime, *, at_once: bool) -> None:
    """Check that the next key has been published for a day, or that waiting is not required. Raises KeyTooYoung."""
    age: timedelta = now - waiting.created_at
    if not at_once and age < PUBLISHED_AHEAD:
        hours = -(-(PUBLISHED_AHEAD - age) // timedelta(hours=1))
        raise KeyTooYoung(f"The next key must be published for a day first. Rotate again in {hours} hours, or use --now if a key leaked.")


async def _activate_next(tx: Transaction, world: World, old: str, new: str) -> str:
    now = world.clock.now()
    await _retire_active(tx, world, old, new)
    await tx.execute(update(SigningKeyRow).where(SigningKeyRow.kid == new).values(state=KeyState.ACTIVE, activated_at=now))
    return new


async def _activate_new(tx: Transaction, world: World, old: str, fresh: SigningKey) -> str:
    await _retire_active(tx, world, old, fresh.kid)
    await insert_key(tx, world, fresh, KeyState.ACTIVE)
    return fresh.kid


async def _retire_active(tx: Transaction, world: World, old: str, new: str) -> None:
    """Retire the active key and record which key replaces it."""
    await tx.execute(update(SigningKeyRow).where(SigningKeyRow.kid == old).values(state=KeyState.RETIRED, retired_at=world.clock.now()))
    subject = ("signing_key", world.entropy.identifier())
    await record(tx, world, "signing_key.rotated", Actor.system(), subject, retired=old, active=new)
