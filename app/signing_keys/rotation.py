"""Turning keys over: signing keys from next to active to retired, and sealed values onto the newest encryption key (R23, R63).

A key is published a day before it signs, so that whoever caches the set knows it by then. Retired keys stay published: receipts
must verify years later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, MetaData, Select, exists, insert, or_, select, update

from app.base.sealing import Place
from app.base.signing import SigningKey
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.signing_keys.models import SigningKeyRow, State
from app.signing_keys.problems import KeyInUse, KeyNotFound, KeyTooYoung
from app.signing_keys.service import WrongKeys, place, signer
from app.world import World

PUBLISHED_AHEAD = timedelta(hours=24)
BATCH = 200

Sealed = tuple[Column[Any], Column[Any]]
"""(the key column of a table, its sealed column)"""


def sealed_columns(tables: MetaData) -> list[Sealed]:
    """Every column that holds sealed text, of whichever room: by its name. What a repeated call is answered with is not among them; it
    is forgotten within a day."""
    every = tables.sorted_tables
    return [(next(iter(it.primary_key)), column) for it in every for column in it.columns if column.name.endswith("_sealed")]


async def check_sealed(world: World, tables: MetaData) -> None:
    """Whether the ring holds every key that a row was sealed with (R23). Raises WrongKeys, which names the columns."""
    ring = [f"{kid}:" for kid in world.keys.sealer.ring]

    async def ask(session: Session) -> list[str]:
        return [
            f"{column.table.name}.{column.name}" for _, column in sealed_columns(tables) if await session.scalar(_foreign(column, ring))
        ]

    if lost := await world.db.find(ask):
        raise WrongKeys("LICENTIA_ENCRYPTION_KEYS", f"lacks a key that rows are sealed with, in {', '.join(lost)}")


def _foreign(column: Column[Any], ring: Sequence[str]) -> Select[tuple[bool]]:
    ours = or_(*(column.startswith(kid, autoescape=True) for kid in ring))
    return select(exists(select(1).where(column.is_not(None), ~ours)))


@dataclass(frozen=True)
class Turned:
    """What a rotation did: the key that signs now, and the one that will be next."""

    active: str
    next: str


async def rotate(world: World, *, at_once: bool = False) -> Turned:
    """Let the next key sign, retire the one that did, and publish another one for the next time.

    If none is published yet, publish one and leave the active key as it is. `at_once` is for a key that leaked: it does not wait
    for caches. Raises KeyTooYoung.
    """
    await signer(world)  # the first key, if there is none
    fresh, now = SigningKey.generate(), world.clock.now()
    async with world.db.write() as session:
        # Holding the active row makes two rotations take turns.
        held = update(SigningKeyRow).where(SigningKeyRow.state == State.ACTIVE).values(state=State.ACTIVE).returning(SigningKeyRow.kid)
        active = str((await session.execute(held)).scalar_one())
        waiting = (
            await session.execute(select(SigningKeyRow.kid, SigningKeyRow.created_at).where(SigningKeyRow.state == State.NEXT))
        ).first()
        if waiting is not None:
            _old_enough(waiting, now, at_once=at_once)
            active = await _promote(session, world, active, waiting.kid, now)
            await _publish(session, world, fresh, State.NEXT, now)
        elif at_once:
            active = await _replace(session, world, active, fresh, now)
            fresh = SigningKey.generate()
            await _publish(session, world, fresh, State.NEXT, now)
        else:
            await _publish(session, world, fresh, State.NEXT, now)
    world.keys.signing.signer = None
    return Turned(active, fresh.kid)


async def revoke(world: World, kid: str) -> None:
    """Put a key that leaked out of use: it leaves the published set, and vouches for no access token any more.

    Receipts that it signed are still told from forgeries by the ledger that holds them. Raises KeyNotFound, KeyInUse for the one that
    signs: rotate first.
    """
    now = world.clock.now()
    async with world.db.write() as session:
        idle = (SigningKeyRow.kid == kid, SigningKeyRow.state.in_([State.NEXT, State.RETIRED]))
        if not (await session.execute(update(SigningKeyRow).where(*idle).values(state=State.REVOKED, retired_at=now))).rowcount:
            state = await session.scalar(select(SigningKeyRow.state).where(SigningKeyRow.kid == kid))
            if state is None:
                raise KeyNotFound
            if state == State.ACTIVE:
                raise KeyInUse
            return
        await record(session, world, "signing_key.revoked", Actor.system(), ("signing_key", world.entropy.identifier()), revoked=kid)
    world.keys.signing.signer = None


def _old_enough(waiting: AnyRow, now: datetime, *, at_once: bool) -> None:
    since: datetime = waiting.created_at
    if not at_once and now - since < PUBLISHED_AHEAD:
        hours = -(-(PUBLISHED_AHEAD - (now - since)) // timedelta(hours=1))
        raise KeyTooYoung(f"The next key has to be published for a day first; rotate again in {hours} hours, or --now if a key leaked.")


async def _promote(session: Session, world: World, old: str, new: str, now: datetime) -> str:
    await _retire(session, old, now)
    await session.execute(update(SigningKeyRow).where(SigningKeyRow.kid == new).values(state=State.ACTIVE, activated_at=now))
    await _told(session, world, old, new)
    return new


async def _replace(session: Session, world: World, old: str, fresh: SigningKey, now: datetime) -> str:
    await _retire(session, old, now)
    await _publish(session, world, fresh, State.ACTIVE, now)
    await _told(session, world, old, fresh.kid)
    return fresh.kid


async def _retire(session: Session, kid: str, now: datetime) -> None:
    await session.execute(update(SigningKeyRow).where(SigningKeyRow.kid == kid).values(state=State.RETIRED, retired_at=now))


async def _publish(session: Session, world: World, key: SigningKey, state: State, now: datetime) -> None:
    values = {
        "kid": key.kid,
        "state": state,
        "public": key.public(),
        "private_sealed": world.keys.sealer.seal(key.private(), place(key.kid)),
        "created_at": now,
        "activated_at": now if state is State.ACTIVE else None,
    }
    await session.execute(insert(SigningKeyRow).values(values))


async def _told(session: Session, world: World, old: str, new: str) -> None:
    about = ("signing_key", world.entropy.identifier())
    await record(session, world, "signing_key.rotated", Actor.system(), about, retired=old, active=new)


async def reseal(world: World, sealed: Sealed) -> int:
    """Seal every value of a column anew that another key than the first of the ring wrote; how many. Then the old key can go.

    One guarded statement for each row: a value that changed meanwhile was written by the first key anyway.
    """
    key, column = sealed
    first = next(iter(world.keys.sealer.ring))
    done = 0
    while rows := await _stale(world, sealed, first):
        for row in rows:
            where = Place(key.table.name, column.name, row.key)
            again = world.keys.sealer.seal(world.keys.sealer.open(row.sealed, where), where)
            async with world.db.write() as session:
                same = update(column.table).where(key == row.key, column == row.sealed)
                done += (await session.execute(same.values({column.name: again}))).rowcount
    return done


async def _stale(world: World, sealed: Sealed, first: str) -> list[AnyRow]:
    key, column = sealed
    other = select(key.label("key"), column.label("sealed")).where(column.is_not(None), ~column.startswith(f"{first}:", autoescape=True))

    async def ask(session: Session) -> list[AnyRow]:
        return list((await session.execute(other.limit(BATCH))).all())

    return await world.db.find(ask)
