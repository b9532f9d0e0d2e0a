"""The keys of the ring that seals: which rows each of them has sealed, whether one is missing, and sealing anew under the first (authentication R23).

Any replica may serve meanwhile, also one whose ring has the keys in another order: a value is changed only if it is still the one
that was read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, ColumnElement, MetaData, and_, bindparam, exists, func, not_, or_, select, update

from app.db import dialect
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect
from app.security.sealing import Place, SealBroken
from app.signing_keys.service import WrongKeys
from app.world import World

BATCH = 200
"""Rows of one transaction at most."""
PASSES = 5
AGAIN, PAUSE = 0.5, 0.01
"""Seconds: before rows that somebody else held are looked for again; between two batches, so that other writers get their turn."""


@dataclass(frozen=True)
class SealedColumn:
    """A column of sealed text, and the primary key that its seals are bound to."""

    key: Column[Any]
    column: Column[Any]

    @property
    def name(self) -> str:
        return f"{self.column.table.name}.{self.column.name}"

    def place(self, key: Any) -> Place:
        return Place(self.column.table.name, self.column.name, key.hex() if isinstance(key, bytes) else key)

    def by(self, kid: str) -> ColumnElement[bool]:
        """Whether the key `kid` has sealed it. Not by LIKE, for which `K1` is `k1` on SQLite."""
        return func.substr(self.column, 1, len(kid) + 1) == f"{kid}:"

    def stale(self, first: str) -> ColumnElement[bool]:
        return and_(self.column.is_not(None), not_(self.by(first)))


@dataclass(frozen=True)
class Rewrapped:
    """What became of a column: values sealed anew, values that open with no key of the ring, and all that another key than the
    first still seals (those that do not open among them)."""

    name: str
    resealed: int
    unreadable: int
    remaining: int


def sealed_columns(tables: MetaData) -> list[SealedColumn]:
    """Every column that holds sealed text, of whichever room: by its name, `…_sealed`, or by `info={"sealed": True}`."""
    columns = [column for it in tables.sorted_tables for column in it.columns]
    sealed = [column for column in columns if column.name.endswith("_sealed") or column.info.get("sealed")]
    return [SealedColumn(next(iter(column.table.primary_key)), column) for column in sealed]


async def check_sealed(world: World, tables: MetaData) -> None:
    """Whether the ring holds every key that a row was sealed with (authentication R23). Raises WrongKeys, which names the keys and the columns."""
    lost = [each for each in sealed_columns(tables) if await _foreign(world, each)]
    if not lost:
        return
    counted = await sealed_by(world, lost)
    kids = sorted(set(counted) - set(world.keys.sealer.ring))
    places = ", ".join(each.name for each in lost)
    raise WrongKeys("LICENTIA_ENCRYPTION_KEYS", f"lacks a key that rows are sealed with: {', '.join(kids)} (in {places})")


async def _foreign(world: World, sealed: SealedColumn) -> bool:
    ours = or_(*(sealed.by(kid) for kid in world.keys.sealer.ring))
    foreign = select(exists(select(1).where(sealed.column.is_not(None), not_(ours))))

    async def ask(tx: Transaction) -> bool:
        return bool(await tx.scalar(foreign))

    return await world.db.find(ask)


async def sealed_by(world: World, columns: Sequence[SealedColumn]) -> dict[str, dict[str, int]]:
    """How many values each key has sealed, by its id and the column."""
    counted: dict[str, dict[str, int]] = {}
    for sealed in columns:

        async def ask(tx: Transaction, it: SealedColumn = sealed) -> Sequence[AnyRow]:
            kid = dialect.text_before(tx, it.column, ":").label("sealing_kid")
            counts = select(kid, func.count().label("values")).where(it.column.is_not(None)).group_by("sealing_kid")
            return (await tx.execute(counts)).all()

        for row in await world.db.find(ask):
            counted.setdefault(row.sealing_kid[:32], {})[sealed.name] = row.values
    return counted


async def rewrap(world: World, columns: Sequence[SealedColumn], tell: Callable[[Rewrapped], None]) -> list[Rewrapped]:
    """Seal every value anew that another key than the first of the ring has sealed. Afterwards, if nothing remains, the others can go.

    What is done stands: killed at any point, it goes on where it was when it is called again. Several may run at once. `tell`
    hears after each batch how far a column is.
    """
    return [await _rewrapped(world, each, tell) for each in columns]


async def _rewrapped(world: World, sealed: SealedColumn, tell: Callable[[Rewrapped], None]) -> Rewrapped:
    """Pass by pass, for somebody may hold a row, or write another one by the old key, while one goes by."""
    done = Rewrapped(sealed.name, 0, 0, await _remaining(world, sealed))
    for number in range(PASSES):
        if done.remaining == done.unreadable:
            break
        await asyncio.sleep(AGAIN if number else 0)
        unreadable = 0
        async for fresh, broken in _batches(world, sealed):
            unreadable += broken
            done = replace(done, resealed=done.resealed + fresh, remaining=done.remaining - fresh)
            tell(done)
        done = replace(done, unreadable=unreadable, remaining=await _remaining(world, sealed))
    return done


async def _remaining(world: World, sealed: SealedColumn) -> int:
    stale = select(func.count()).select_from(sealed.column.table).where(sealed.stale(_first(world)))

    async def ask(tx: Transaction) -> int:
        return int(await tx.scalar(stale) or 0)

    return await world.db.find(ask)


def _first(world: World) -> str:
    return next(iter(world.keys.sealer.ring))


async def _batches(world: World, sealed: SealedColumn) -> AsyncIterator[tuple[int, int]]:
    """One pass in the order of the primary key: (values sealed anew, values that do not open) of each batch."""
    stale = select(sealed.key.label("key"), sealed.column.label("sealed")).where(sealed.stale(_first(world)))
    rows = await _page(world, stale.order_by(sealed.key))
    while rows:
        fresh = _sealed_anew(world, sealed, rows)
        yield await _put(world, sealed, fresh), len(rows) - len(fresh)
        await asyncio.sleep(PAUSE)
        rows = await _page(world, stale.where(sealed.key > rows[-1].key).order_by(sealed.key))


async def _page(world: World, statement: AnySelect) -> Sequence[AnyRow]:
    async def ask(tx: Transaction) -> Sequence[AnyRow]:
        return (await tx.execute(statement.limit(BATCH))).all()

    return await world.db.find(ask)


def _sealed_anew(world: World, sealed: SealedColumn, rows: Sequence[AnyRow]) -> dict[Any, tuple[str, str]]:
    """(the value as it was, the value sealed anew) by primary key, of those that open."""
    fresh = {}
    for row in rows:
        where = sealed.place(row.key)
        with suppress(SealBroken):
            fresh[row.key] = (row.sealed, world.keys.sealer.seal(world.keys.sealer.open(row.sealed, where), where))
    return fresh


async def _put(world: World, sealed: SealedColumn, fresh: Mapping[Any, tuple[str, str]]) -> int:
    """Write a batch; how many were still what they had been. It waits for nobody's row, so nobody waits for it in a circle."""
    key, column = sealed.key, sealed.column
    read = select(key.label("key"), column.label("sealed")).where(key.in_(list(fresh))).order_by(key)
    same = update(column.table).where(key == bindparam("row"), column == bindparam("was")).values({column.name: bindparam("anew")})
    async with world.db.write() as tx:
        held = (await tx.execute(read.with_for_update(skip_locked=True, key_share=True))).all()
        still = [(row.key, *fresh[row.key]) for row in held if row.sealed == fresh[row.key][0]]
        if still:
            await tx.execute(same, [{"row": row, "was": was, "anew": anew} for row, was, anew in still])
    return len(still)
