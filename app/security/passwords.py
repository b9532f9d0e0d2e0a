"""Password hashing: Argon2id through passlib, in a bounded pool of threads, never on the event loop. Knows no user."""

import asyncio
import unicodedata
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from anyio import CapacityLimiter, to_thread
from passlib.context import CryptContext
from passlib.exc import MissingBackendError, PasswordSizeError

from app.base.problems import Busy
from app.config.settings import Settings
from app.security.foreign_hashes import BCRYPT_MAX_BYTES, SCHEMES, find_format, is_affordable

MAX_CODE_POINTS = 256
MAX_BYTES = 1024
CODE_MEMORY_KIB = 4096
SAMPLES = 64
"""How many answers the pace remembers."""


def normalise(password: str) -> str:
    """NFKC, once, at the edge (NIST SP 800-63B-4 section 3.1.1.2): the same password typed on another keyboard is the same."""
    return unicodedata.normalize("NFKC", password)


def count_code_points(password: str) -> int:
    """Code points, as typed or as normalised, whichever is fewer: one sign that NFKC spells out is still one sign."""
    return min(len(password), len(normalise(password)))


def is_too_long(password: str) -> bool:
    """Whether it passes the ceilings, as typed or as normalised (NFKC can make eighteen signs of one)."""
    forms = (password, normalise(password))
    return any(len(form) > MAX_CODE_POINTS or len(form.encode()) > MAX_BYTES for form in forms)


@dataclass
class ResponsePadding:
    """How long answers take while imported hashes are about: as long as the slowest of them and half again, for everybody (authentication R11).

    `stored`: how long a hash of each kind that is stored took when it was tried out, in seconds; whoever knows the accounts keeps it
    up to date, the next time when the event loop's clock is past `due`. `seen`: how long the latest took, on a busier machine perhaps.
    """

    stored: dict[str, float] = field(default_factory=dict)
    due: float = 0.0
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    seen: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def floor(self, seconds: float, *, legacy: bool) -> float:
        """How long this answer should take; notes how long an imported hash took."""
        self.seen.append(seconds if legacy else 0.0)
        return 1.5 * max(*self.seen, *self.stored.values()) if self.stored else 1.5 * max(self.seen)


@dataclass(frozen=True)
class PasswordHasher:
    """Argon2id with at most `slots` hashes running and twice as many waiting; beyond that it refuses with Busy.

    `codes` is Argon2id at a low cost, for secrets of 80 random bits; `legacy` only ever verifies what other systems made.
    """

    context: Any
    codes: Any
    legacy: Any
    dummy: str
    dummy_code: str
    limiter: CapacityLimiter
    waiting: int
    padding: ResponsePadding = field(default_factory=ResponsePadding)
    inside: set[object] = field(default_factory=set, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        make: Any = CryptContext
        context = make(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=settings.argon2_memory_kib,
            argon2__time_cost=settings.argon2_time,
            argon2__parallelism=settings.argon2_lanes,
        )
        codes = make(schemes=["argon2"], argon2__type="ID", argon2__memory_cost=CODE_MEMORY_KIB, argon2__time_cost=1, argon2__parallelism=1)
        slots, nobody = settings.hashes_at_once, "nobody has this password"
        dummies = context.hash(nobody), codes.hash(nobody)
        return cls(context, codes, make(schemes=SCHEMES), *dummies, CapacityLimiter(slots), 2 * slots)

    async def hash(self, password: str) -> str:
        """The encoded Argon2id hash. Raises Busy when the pool is full."""
        return str(await self._run(partial(self.context.hash, normalise(password))))

    async def verify(self, password: str, stored: str | None, *, imported: bool = False) -> bool:
        """Whether the password fits. With nothing stored, a real verify against a fixed hash takes the same time (authentication R11).

        An imported hash is of the bytes as they were typed, so those are tried before their normal form (authentication R5). Raises Busy.
        """
        clock = asyncio.get_running_loop().time
        start = clock()
        if imported and stored is not None:
            fits = bool(await self._run(partial(self._imported, password, stored)))
        else:
            fits = bool(await self._run(partial(self.context.verify, normalise(password), stored or self.dummy)))
        took = clock() - start
        await asyncio.sleep(max(0.0, self.padding.floor(took, legacy=imported and stored is not None) - took))
        return fits and stored is not None

    async def measure_check(self, stored: str) -> float:
        """How long a check of an imported hash takes, in seconds: the better of two."""
        clock = asyncio.get_running_loop().time
        took = []
        for _ in range(2):
            start = clock()
            await to_thread.run_sync(partial(self._imported, "", stored), limiter=self.limiter)
            took.append(clock() - start)
        return min(took)

    def needs_rehash(self, stored: str, *, imported: bool) -> bool:
        """Whether another hash should take its place at the next chance (authentication R8): another scheme, or any other parameter."""
        return imported or bool(self.context.needs_update(stored))

    def can_verify(self, stored: str) -> bool:
        """Whether a hash of another system can be verified here: a known form, whole, its costs within bounds (authentication R9)."""
        form = find_format(stored)
        if form is None or not is_affordable(stored):
            return False
        try:
            handler = self.legacy.handler(form.scheme)
            handler.from_string(stored)
            return bool(getattr(handler, "has_backend", lambda: True)())
        except (ValueError, TypeError, MissingBackendError):
            return False

    async def hash_codes(self, codes: Sequence[str]) -> list[str]:
        """Each code hashed with a salt of its own, in one job. Raises Busy."""
        hashed: Any = await self._run(lambda: [str(self.codes.hash(code)) for code in codes])
        return list(hashed)

    async def verify_code(self, code: str, stored: str | None) -> bool:
        """Whether the code fits; the same time with nothing stored. Raises Busy."""
        fits = await self._run(partial(self.codes.verify, code, stored or self.dummy_code))
        return bool(fits) and stored is not None

    def _imported(self, password: str, stored: str) -> bool:
        if not is_affordable(stored):
            self.context.verify(password, self.dummy)
            return False
        forms = dict.fromkeys((password, normalise(password)))
        return any([self._legacy(form, stored) for form in forms])  # noqa: C419  all of them, whichever fits

    def _legacy(self, password: str, stored: str) -> bool:
        """Bcrypt knows 72 bytes and no more: what is longer never fits, after the same work (authentication R10)."""
        octets, over = password.encode(), False
        if stored.startswith("$2"):
            octets, over = octets[:BCRYPT_MAX_BYTES], len(octets) > BCRYPT_MAX_BYTES
        try:
            return bool(self.legacy.verify(octets, stored)) and not over
        except (ValueError, TypeError, PasswordSizeError, MissingBackendError):
            return False

    def require_capacity(self) -> None:
        """Raises Busy at once where a hash would. Keeps no place: those who are only turned away later must not take one from others."""
        if len(self.inside) >= self.waiting + self.limiter.total_tokens:
            raise Busy

    async def _run(self, work: Callable[[], object]) -> object:
        # Counted here and at once: a task shows among the limiter's waiting ones only when it has come to wait, too late for a burst.
        self.require_capacity()
        mark = object()
        self.inside.add(mark)
        try:
            return await to_thread.run_sync(work, limiter=self.limiter)
        finally:
            self.inside.discard(mark)
