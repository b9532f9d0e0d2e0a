"""Measure the stored types of imported password hashes; every password check is padded to the slowest (authentication R11).

Without the padding, the response time would reveal accounts whose password hash was imported from another system.
"""

import asyncio

from sqlalchemy import func, select

from app.db.database import Transaction
from app.login.models import Factor
from app.world import World

REFRESH_SECONDS = 60.0
"""Seconds between two reads. After this time the process notices imports by other replicas, and upgraded hashes."""


async def refresh_timing(world: World) -> None:
    """Find the stored types of imported hashes and measure each new one; reads the database at most once a minute."""
    padding, clock = world.hasher.padding, asyncio.get_running_loop().time
    if clock() < padding.due:
        return
    async with padding.busy:
        if clock() < padding.due:
            return
        samples = await world.db.query_with_retry(_find_samples)
        padding.stored = {form: padding.stored.get(form) or await world.hasher.measure_check(sample) for form, sample in samples.items()}
        padding.due = clock() + REFRESH_SECONDS


async def _find_samples(tx: Transaction) -> dict[str, str]:
    """Find one hash of each type. Every query jumps in the index to the next type, however many hashes share one."""
    samples: dict[str, str] = {}
    form = await tx.scalar(select(func.min(Factor.form)).where(Factor.form.is_not(None)))
    while form is not None:
        sample = await tx.scalar(select(Factor.hash).where(Factor.form == form).limit(1))
        if sample is not None:
            samples[form] = sample
        form = await tx.scalar(select(func.min(Factor.form)).where(Factor.form > form))
    return samples
