"""Keeping the pace of all password answers to that of the slowest hash that is stored: an imported one must not show by its time (authentication R11)."""

import asyncio

from sqlalchemy import func, select

from app.db.database import Transaction
from app.login.models import Factor
from app.world import World

REFRESH_SECONDS = 60.0
"""Seconds until another replica's imports are noticed here, and until the pace is let go once the last of them is upgraded."""


async def refresh_timing(world: World) -> None:
    """Learn which kinds of imported hashes are stored, and how long each takes. One look a minute, and none in between."""
    pace, clock = world.hasher.padding, asyncio.get_running_loop().time
    if clock() < pace.due:
        return
    async with pace.busy:
        if clock() < pace.due:
            return
        samples = await world.db.find(_samples)
        pace.stored = {form: pace.stored.get(form) or await world.hasher.measure_check(sample) for form, sample in samples.items()}
        pace.due = clock() + REFRESH_SECONDS


async def _samples(tx: Transaction) -> dict[str, str]:
    """A hash of each kind that is stored. Each look at the index leaps to the next kind, however many hashes there are of one."""
    found: dict[str, str] = {}
    form = await tx.scalar(select(func.min(Factor.form)).where(Factor.form.is_not(None)))
    while form is not None:
        sample = await tx.scalar(select(Factor.hash).where(Factor.form == form).limit(1))
        if sample is not None:
            found[form] = sample
        form = await tx.scalar(select(func.min(Factor.form)).where(Factor.form > form))
    return found
