"""Hash passwords with Argon2id (passlib) in a bounded thread pool, never on the event loop. Knows no users."""

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
"""Recent checks that the padding considers."""


def normalise(password: str) -> str:
    """Apply NFKC (NIST SP 800-63B-4 section 3.1.1.2), so that a password typed on another keyboard is the same."""
    return unicodedata.normalize("NFKC", password)


def count_code_points(password: str) -> int:
    """Count code points as typed or as normalised, whichever is fewer: NFKC may expand one character to several."""
    return min(len(password), len(normalise(password)))


def is_too_long(password: str) -> bool:
    """Return whether the password exceeds the limits, as typed or as normalised (NFKC can expand one character to eighteen)."""
    forms = (password, normalise(password))
    return any(len(form) > MAX_CODE_POINTS or len(form.encode()) > MAX_BYTES for form in forms)


@dataclass
class ResponsePadding:
    """Pads every password check to 1.5 times the slowest stored hash type, so that time reveals no imported hash (authentication R11).

    `stored`: the measured seconds of each stored hash type. `due`: when `login/factors/timing.py` measures again, in the time of the
    event loop; `busy` is its lock. `seen`: the seconds of recent checks of imported hashes, which take longer on a busy machine.
    """

    stored: dict[str, float] = field(default_factory=dict)
    due: float = 0.0
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    seen: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def compute_floor(self, seconds: float, *, legacy: bool) -> float:
        """Record a check and return how many seconds it should take in total. `legacy`: the hash was imported."""
        self.seen.append(seconds if legacy else 0.0)
        return 1.5 * max(*self.seen, *self.stored.values()) if self.stored else 1.5 * max(self.seen)


@dataclass(frozen=True)
class PasswordHasher:
    """Argon2id with at most `slots` hashes running and twice as many waiting; more raise Busy.

    `codes` is Argon2id at a low cost, for secrets of 80 random bits. `legacy` only verifies imported hashes.
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
        slots, unused = settings.hashes_at_once, "not the password of any user"
        dummies = context.hash(unused), codes.hash(unused)
        return cls(context, codes, make(schemes=SCHEMES), *dummies, CapacityLimiter(slots), 2 * slots)

    async def hash(self, password: str) -> str:
        """Return the encoded Argon2id hash. Raises Busy when the pool is full."""
        return str(await self._run(partial(self.context.hash, normalise(password))))

    async def verify(self, password: str, stored: str | None, *, imported: bool = False) -> bool:
        """Return whether the password matches. Without a stored hash, a check of a dummy hash takes the same time (authentication R11).

        An imported hash may be of the password as typed, so both forms are checked (authentication R5). Raises Busy.
        """
        clock = asyncio.get_running_loop().time
        start = clock()
        if imported and stored is not None:
            matches = bool(await self._run(partial(self._verify_imported, password, stored)))
        else:
            matches = bool(await self._run(partial(self.context.verify, normalise(password), stored or self.dummy)))
        seconds = clock() - start
        await asyncio.sleep(max(0.0, self.padding.compute_floor(seconds, legacy=imported and stored is not None) - seconds))
        return matches and stored is not None

    async def measure_check(self, stored: str) -> float:
        """Measure how many seconds a check of an imported hash takes: the faster of two."""
        clock = asyncio.get_running_loop().time
        seconds = []
        for _ in range(2):
            start = clock()
            await to_thread.run_sync(partial(self._verify_imported, "", stored), limiter=self.limiter)
            seconds.append(clock() - start)
        return min(seconds)

    def needs_rehash(self, stored: str, *, imported: bool) -> bool:
        """Return whether to hash again at the next login (authentication R8): another scheme, or other parameters."""
        return imported or bool(self.context.needs_update(stored))

    def can_verify(self, stored: str) -> bool:
        """Return whether an imported hash can be verified: a known format, complete, with costs within the limits (authentication R9)."""
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
        """Hash each code with its own salt, in one thread job. Raises Busy."""
        hashed: Any = await self._run(lambda: [str(self.codes.hash(code)) for code in codes])
        return list(hashed)

    async def verify_code(self, code: str, stored: str | None) -> bool:
        """Return whether the code matches. Takes the same time without a stored hash. Raises Busy."""
        matches = await self._run(partial(self.codes.verify, code, stored or self.dummy_code))
        return bool(matches) and stored is not None

    def _verify_imported(self, password: str, stored: str) -> bool:
        if not is_affordable(stored):
            self.context.verify(password, self.dummy)
            return False
        forms = dict.fromkeys((password, normalise(password)))
        return any([self._verify_legacy(form, stored) for form in forms])  # noqa: C419  a list, so that both forms are always checked

    def _verify_legacy(self, password: str, stored: str) -> bool:
        """Verify one form. bcrypt only uses 72 bytes: a longer password never matches, after the same work (authentication R10)."""
        data, truncated = password.encode(), False
        if stored.startswith("$2"):
            data, truncated = data[:BCRYPT_MAX_BYTES], len(data) > BCRYPT_MAX_BYTES
        try:
            return bool(self.legacy.verify(data, stored)) and not truncated
        except (ValueError, TypeError, PasswordSizeError, MissingBackendError):
            return False

    def require_capacity(self) -> None:
        """Raise Busy if the pool is full. Reserves nothing: a request that fails before it hashes must not take capacity."""
        if len(self.inside) >= self.waiting + self.limiter.total_tokens:
            raise Busy

    async def _run(self, work: Callable[[], object]) -> object:
        # Count here: the limiter counts a task only when it starts to wait, which is too late for a burst.
        self.require_capacity()
        mark = object()
        self.inside.add(mark)
        try:
            return await to_thread.run_sync(work, limiter=self.limiter)
        finally:
            self.inside.discard(mark)
