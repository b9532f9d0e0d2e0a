"""Turning signing keys over: from next to active to retired, or out of use if one leaked (authentication R63).

A key is published a day before it signs, so that whoever caches the set knows it by then. Retired keys stay published: receipts
must verify years later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update

from app.db import dialect
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.security.signing import SigningKey
from app.signing_keys.models import SigningKeyRow, State
from app.signing_keys.problems import KeyInUse, KeyNotFound, KeyTooYoung
from app.signing_keys.service import place, signer
from app.world import World

PUBLISHED_AHEAD = timedelta(hours=24)
TURN = "signing_keys"
"""Whoever turns keys over or revokes one waits for the other, so that each judges by what the other left."""


@dataclass(frozen=True)
class Turned:
    """What a rotation did: the key that signs now, and the one that will be next."""

    active: str
    next: str


async def listed(world: World) -> Sequence[AnyRow]:
    """Every signing key there ever was, the newest first."""
    it = SigningKeyRow
    every = select(it.kid, it.state, it.created_at, it.activated_at, it.retired_at).order_by(it.created_at.desc(), it.kid)

    async def ask(tx: Transaction) -> Sequence[AnyRow]:
        return (await tx.execute(every)).all()

    return await world.db.find(ask)


async def rotate(world: World, *, at_once: bool = False) -> Turned:
    """Let the next key sign, retire the one that did, and publish another one for the next time.

    If none is published yet, publish one and leave the active key as it is. `at_once` is for a key that leaked: it does not wait
    for caches. Raises KeyTooYoung.
    """
    await signer(world)  # the first key, if there is none
    fresh, now = SigningKey.generate(), world.clock.now()
    async with world.db.write() as tx:
        active, waiting = await _held(tx)
        if waiting is not None:
            _old_enough(waiting, now, at_once=at_once)
            active = await _promote(tx, world, active, waiting.kid, now)
            await _publish(tx, world, fresh, State.NEXT, now)
        elif at_once:
            active = await _replace(tx, world, active, fresh, now)
            fresh = SigningKey.generate()
            await _publish(tx, world, fresh, State.NEXT, now)
        else:
            await _publish(tx, world, fresh, State.NEXT, now)
    world.keys.signing.signer = None
    return Turned(active, fresh.kid)


async def revoke(world: World, kid: str) -> None:
    """Put a key that leaked out of use: it leaves the published set, and vouches for no access token any more.

    Receipts that it signed are still told from forgeries by the ledger that holds them. Raises KeyNotFound, KeyInUse for the one that
    signs: rotate first.
    """
    now = world.clock.now()
    async with world.db.write() as tx:
        await dialect.lock_by_name(tx, TURN)
        idle = (SigningKeyRow.kid == kid, SigningKeyRow.state.in_([State.NEXT, State.RETIRED]))
        if not (await tx.execute(update(SigningKeyRow).where(*idle).values(state=State.REVOKED, retired_at=now))).rowcount:
            state = await tx.scalar(select(SigningKeyRow.state).where(SigningKeyRow.kid == kid))
            if state is None:
                raise KeyNotFound
            if state == State.ACTIVE:
                raise KeyInUse
            return
        await record(tx, world, "signing_key.revoked", Actor.system(), ("signing_key", world.entropy.identifier()), revoked=kid)
    world.keys.signing.signer = None


async def _held(tx: Transaction) -> tuple[str, AnyRow | None]:
    """The `kid` of the active key, and the key that is next, if there is one.

    Both rows are locked by writing their state over itself: a program of before takes no turn, and the key that it revokes meanwhile
    must not be found next any more.
    """
    await dialect.lock_by_name(tx, TURN)
    it = SigningKeyRow
    both = update(it).where(it.state.in_([State.ACTIVE, State.NEXT])).values(state=it.state).returning(it.kid, it.state, it.created_at)
    found = {row.state: row for row in await tx.execute(both)}
    return str(found[State.ACTIVE].kid), found.get(State.NEXT)


def _old_enough(waiting: AnyRow, now: datetime, *, at_once: bool) -> None:
    since: datetime = waiting.created_at
    if not at_once and now - since < PUBLISHED_AHEAD:
        hours = -(-(PUBLISHED_AHEAD - (now - since)) // timedelta(hours=1))
        raise KeyTooYoung(f"The next key has to be published for a day first; rotate again in {hours} hours, or --now if a key leaked.")


async def _promote(tx: Transaction, world: World, old: str, new: str, now: datetime) -> str:
    await _retire(tx, old, now)
    await tx.execute(update(SigningKeyRow).where(SigningKeyRow.kid == new).values(state=State.ACTIVE, activated_at=now))
    await _told(tx, world, old, new)
    return new


async def _replace(tx: Transaction, world: World, old: str, fresh: SigningKey, now: datetime) -> str:
    await _retire(tx, old, now)
    await _publish(tx, world, fresh, State.ACTIVE, now)
    await _told(tx, world, old, fresh.kid)
    return fresh.kid


async def _retire(tx: Transaction, kid: str, now: datetime) -> None:
    await tx.execute(update(SigningKeyRow).where(SigningKeyRow.kid == kid).values(state=State.RETIRED, retired_at=now))


async def _publish(tx: Transaction, world: World, key: SigningKey, state: State, now: datetime) -> None:
    values = {
        "kid": key.kid,
        "state": state,
        "public": key.public(),
        "private_sealed": world.keys.sealer.seal(key.private(), place(key.kid)),
        "created_at": now,
        "activated_at": now if state is State.ACTIVE else None,
    }
    await tx.execute(insert(SigningKeyRow).values(values))


async def _told(tx: Transaction, world: World, old: str, new: str) -> None:
    about = ("signing_key", world.entropy.identifier())
    await record(tx, world, "signing_key.rotated", Actor.system(), about, retired=old, active=new)
