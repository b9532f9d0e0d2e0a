"""Counting failures in the database, so that guessing meets the same wall on every replica. Success is never counted here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import case, literal, select

from app.db import dialect
from app.db.database import Transaction
from app.db.types import UtcDateTime
from app.web.models import FailureCount
from app.web.problems import TooManyAttempts
from app.world import World


@dataclass(frozen=True)
class Budget:
    """How many failures of one kind are answered as what they are within a window of time; `whose` tells whom they count for."""

    kind: str
    whose: str
    failures: int
    window: timedelta

    def slot(self, world: World) -> bytes:
        return world.keys.lookup.digest("failures", f"{self.kind}\0{self.whose}")


async def fail(world: World, budgets: Sequence[Budget]) -> None:
    """Count one failure against every budget, in a transaction of its own that stands whatever the answer will be.

    One guarded statement for each: a burst at the same moment cannot all read "one left". Raises TooManyAttempts, with the
    time until the window ends, when one of them is spent.
    """
    now = world.clock.now()
    slots = {budget.slot(world): budget for budget in budgets}
    if (until := await _spent_until(world, slots, now)) is not None:
        raise _refused(until, now)  # nothing to count: a flood of guesses costs a read
    async with world.db.write(commit_now=True) as tx:
        spent = [until for slot in sorted(slots) if (until := await _count(tx, slot, slots[slot], now)) is not None]
    if spent:
        raise _refused(max(spent), now)


def _refused(until: datetime, now: datetime) -> TooManyAttempts:
    return TooManyAttempts(retry_after=max(1, ceil((until - now).total_seconds())))


async def _spent_until(world: World, slots: dict[bytes, Budget], now: datetime) -> datetime | None:
    async def ask(tx: Transaction) -> datetime | None:
        rows = await tx.execute(
            select(FailureCount.slot, FailureCount.failures, FailureCount.until).where(FailureCount.slot.in_(list(slots)))
        )
        return max((row.until for row in rows if row.until > now and row.failures >= slots[row.slot].failures), default=None)

    return await world.db.find(ask)


async def _count(tx: Transaction, slot: bytes, budget: Budget, now: datetime) -> datetime | None:
    """Count one more; or, if none is left, when the window ends."""
    over, until = FailureCount.until <= now, now + budget.window
    counted = await dialect.upsert(
        tx,
        FailureCount,
        {"slot": slot, "failures": 1, "until": until},
        on=["slot"],
        change={
            "failures": case((over, 1), else_=FailureCount.failures + 1),
            "until": case((over, literal(until, UtcDateTime)), else_=FailureCount.until),
        },
        where=over | (FailureCount.failures < budget.failures),
    )
    if counted:
        return None
    return await tx.scalar(select(FailureCount.until).where(FailureCount.slot == slot))
