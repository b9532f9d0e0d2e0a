"""Encryption keys: count what each has sealed, find missing ones, and seal values again with the first (authentication R23).

Replicas may serve requests meanwhile, even one that lists the keys in another order: a value is replaced only if it did not
change since it was read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, ColumnElement, MetaData, and_, bindparam, exists, func, not_, or_, select, update

from app.db import dialect
from app.db.types import AnyRow, AnySelect
from app.security.sealing import Place, SealBroken
from app.signing_keys.service import KeysMismatch
from app.world import World

BATCH = 200
"""The largest number of rows in one transaction."""
PASSES = 5
PASS_DELAY = 0.5
"""Seconds before the next pass looks again for rows that another transaction had locked."""
BATCH_DELAY = 0.01
"""Seconds between two batches, so that other writers of SQLite can run."""


@dataclass(frozen=True)
class SealedColumn:
    """A column of sealed text, and the primary key that its values are bound to."""

    key: Column[Any]
    column: Column[Any]

    @property
    def name(self) -> str:
        return f"{self.column.table.name}.{self.column.name}"

    def place(self, key: Any) -> Place:
        return Place(self.column.table.name, self.column.name, key.hex() if isinstance(key, bytes) else key)

    def is_sealed_by(self, kid: str) -> ColumnElement[bool]:
        """Return the SQL condition that the key `kid` sealed the value. Not LIKE, which ignores case on SQLite."""
        return func.substr(self.column, 1, len(kid) + 1) == f"{kid}:"

    def is_stale(self, first: str) -> ColumnElement[bool]:
        """Return the SQL condition that another key than `first` sealed the value."""
        return and_(self.column.is_not(None), not_(self.is_sealed_by(first)))


@dataclass(frozen=True)
class RewrapProgress:
    """Counts of one column's values: sealed again, unreadable with every key, and still sealed by another key than the first.

    `remaining` includes the unreadable ones.
    """

    name: str
    resealed: int
    unreadable: int
    remaining: int


def list_sealed_columns(tables: MetaData) -> list[SealedColumn]:
    """List every column of sealed text: those named `…_sealed`, and those with `info={"sealed": True}`."""
    columns = [column for table in tables.sorted_tables for column in table.columns]
    sealed = [column for column in columns if column.name.endswith("_sealed") or column.info.get("sealed")]
    return [SealedColumn(next(iter(column.table.primary_key)), column) for column in sealed]


async def check_sealed(world: World, tables: MetaData) -> None:
    """Check that every key that sealed a row is configured (authentication R23). Raises KeysMismatch with the keys and the columns."""
    unknown = [sealed for sealed in list_sealed_columns(tables) if await _has_unknown_key(world, sealed)]
    if not unknown:
        return
    counts = await count_by_key(world, unknown)
    kids = sorted(set(counts) - set(world.keys.sealer.ring))
    places = ", ".join(sealed.name for sealed in unknown)
    raise KeysMismatch("LICENTIA_ENCRYPTION_KEYS", f"does not contain a key that rows are encrypted with: {', '.join(kids)} (in {places})")


async def _has_unknown_key(world: World, sealed: SealedColumn) -> bool:
    known = or_(*(sealed.is_sealed_by(kid) for kid in world.keys.sealer.ring))
    async with world.db.query() as tx:
        return bool(await tx.scalar(select(exists(select(1).where(sealed.column.is_not(None), not_(known))))))


async def count_by_key(world: World, columns: Sequence[SealedColumn]) -> dict[str, dict[str, int]]:
    """Count the values that each key has sealed, by key id and column name."""
    counts: dict[str, dict[str, int]] = {}
    async with world.db.query() as tx:
        for sealed in columns:
            kid = dialect.text_before(tx, sealed.column, ":").label("sealing_kid")
            by_key = select(kid, func.count().label("values")).where(sealed.column.is_not(None)).group_by("sealing_kid")
            for row in await tx.execute(by_key):
                counts.setdefault(row.sealing_kid[:32], {})[sealed.name] = row.values
    return counts


async def rewrap(world: World, columns: Sequence[SealedColumn], report: Callable[[RewrapProgress], None]) -> list[RewrapProgress]:
    """Seal every value again that another key than the first has sealed. If nothing remains, the other keys can be removed.

    Each batch commits: after a kill at any point, another call continues. Several may run at once. `report` is called after each batch.
    """
    return [await _rewrap_column(world, sealed, report) for sealed in columns]


async def _rewrap_column(world: World, sealed: SealedColumn, report: Callable[[RewrapProgress], None]) -> RewrapProgress:
    """Run several passes, because other transactions may lock a row, or write a value with an old key meanwhile."""
    progress = RewrapProgress(sealed.name, 0, 0, await _count_stale(world, sealed))
    for number in range(PASSES):
        if progress.remaining == progress.unreadable:
            break
        await asyncio.sleep(PASS_DELAY if number else 0)
        unreadable = 0
        async for resealed, broken in _rewrap_batches(world, sealed):
            unreadable += broken
            progress = replace(progress, resealed=progress.resealed + resealed, remaining=progress.remaining - resealed)
            report(progress)
        progress = replace(progress, unreadable=unreadable, remaining=await _count_stale(world, sealed))
    return progress


async def _count_stale(world: World, sealed: SealedColumn) -> int:
    async with world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(sealed.column.table).where(sealed.is_stale(_first_key(world)))) or 0)


def _first_key(world: World) -> str:
    return next(iter(world.keys.sealer.ring))


async def _rewrap_batches(world: World, sealed: SealedColumn) -> AsyncIterator[tuple[int, int]]:
    """Run one pass in primary key order; yield (values sealed again, unreadable values) of each batch."""
    stale = select(sealed.key.label("key"), sealed.column.label("sealed")).where(sealed.is_stale(_first_key(world)))
    rows = await _read_page(world, stale.order_by(sealed.key))
    while rows:
        values = _seal_again(world, sealed, rows)
        yield await _replace_values(world, sealed, values), len(rows) - len(values)
        await asyncio.sleep(BATCH_DELAY)
        rows = await _read_page(world, stale.where(sealed.key > rows[-1].key).order_by(sealed.key))


async def _read_page(world: World, statement: AnySelect) -> Sequence[AnyRow]:
    async with world.db.query() as tx:
        return (await tx.execute(statement.limit(BATCH))).all()


def _seal_again(world: World, sealed: SealedColumn, rows: Sequence[AnyRow]) -> dict[Any, tuple[str, str]]:
    """Return (old value, new value) of the readable values, by primary key."""
    values = {}
    for row in rows:
        place = sealed.place(row.key)
        with suppress(SealBroken):
            values[row.key] = (row.sealed, world.keys.sealer.seal(world.keys.sealer.open(row.sealed, place), place))
    return values


async def _replace_values(world: World, sealed: SealedColumn, values: Mapping[Any, tuple[str, str]]) -> int:
    """Write a batch; return how many rows still had their old value. Skips locked rows, so it cannot deadlock."""
    key, column = sealed.key, sealed.column
    current = select(key.label("key"), column.label("sealed")).where(key.in_(list(values))).order_by(key)
    change = update(column.table).where(key == bindparam("row"), column == bindparam("old")).values({column.name: bindparam("new")})
    async with world.db.write() as tx:
        rows = (await tx.execute(current.with_for_update(skip_locked=True, key_share=True))).all()
        unchanged = [(row.key, *values[row.key]) for row in rows if row.sealed == values[row.key][0]]
        if unchanged:
            await tx.execute(change, [{"row": row, "old": old, "new": new} for row, old, new in unchanged])
    return len(unchanged)
