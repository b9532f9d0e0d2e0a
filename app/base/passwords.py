"""Password hashing: Argon2id through passlib, in a bounded pool of threads, never on the event loop. Knows no user."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from anyio import CapacityLimiter, to_thread
from passlib.context import CryptContext

from app.base.problems import Busy
from app.base.settings import Settings

MAX_CODE_POINTS = 256
MAX_OCTETS = 1024


def normalised(password: str) -> str:
    """NFKC, once, at the edge (NIST SP 800-63B-4 section 3.1.1.2): the same password typed on another keyboard is the same."""
    return unicodedata.normalize("NFKC", password)


def length(password: str) -> int:
    """Code points, as typed or as normalised, whichever is fewer: one sign that NFKC spells out is still one sign."""
    return min(len(password), len(normalised(password)))


def too_long(password: str) -> bool:
    """Whether it passes the ceilings, as typed or as normalised (NFKC can make eighteen signs of one)."""
    forms = (password, normalised(password))
    return any(len(form) > MAX_CODE_POINTS or len(form.encode()) > MAX_OCTETS for form in forms)


@dataclass(frozen=True)
class PasswordHasher:
    """Argon2id with at most `slots` hashes running and twice as many waiting; beyond that it refuses with Busy."""

    context: Any
    dummy: str
    limiter: CapacityLimiter
    waiting: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        context: Any = CryptContext
        context = context(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=settings.argon2_memory_kib,
            argon2__time_cost=settings.argon2_time,
            argon2__parallelism=settings.argon2_lanes,
        )
        slots = settings.hash_slots
        return cls(context, context.hash("nobody has this password"), CapacityLimiter(slots), 2 * slots)

    async def hash(self, password: str) -> str:
        """The encoded Argon2id hash. Raises Busy when the pool is full."""
        return str(await self._run(partial(self.context.hash, password)))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password fits. With nothing stored, a real verify against a fixed hash takes the same time."""
        fits = await self._run(partial(self.context.verify, password, stored or self.dummy))
        return bool(fits) and stored is not None

    async def _run(self, work: Callable[[], object]) -> object:
        if self.limiter.statistics().tasks_waiting >= self.waiting:
            raise Busy
        return await to_thread.run_sync(work, limiter=self.limiter)
