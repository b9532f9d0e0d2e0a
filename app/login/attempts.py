"""Slowing guesses down: one counter for each name, account or network_group, counted before anything is checked (authentication R37 to R48).

Every count is one guarded statement whose row count is the answer, so a burst never gets more than the budget. Keys are HMACs of
what was submitted: known and unknown names lock alike. Whoever counts more than one thing takes the address's counters first, then
the name's or factor's, and holds no other row while taking an address's, but in the transaction that ends a try.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import case, or_, select, update

from app.base.problems import Busy
from app.db import dialect
from app.db.database import Transaction, on_commit
from app.events.service import Actor, record
from app.login.models import SessionRow, Throttle
from app.observability import counters
from app.users.data_lifecycle import lock_unless_erased
from app.users.rules import fold_identifier
from app.web.callers import Origin, network_group
from app.web.problems import TooManyAttempts
from app.world import World

log = structlog.get_logger("licentia.login")
KEPT = timedelta(days=30)


@dataclass(frozen=True)
class Ladder:
    """How long a wait follows on which attempt, and after how many there is no waiting any more but only recovery (authentication R40)."""

    factor: str
    steps: Sequence[tuple[int, timedelta]]
    stop: int = 100


PASSWORD = Ladder("password", tuple((5 + n, min(timedelta(seconds=30 * 2**n), timedelta(minutes=15))) for n in range(6)))
SECOND_FACTOR = Ladder("second_factor", ((10, timedelta(minutes=15)), (30, timedelta(hours=1))))


@dataclass(frozen=True)
class AttemptLimit:
    """At most `limit` in `span`."""

    span: timedelta
    limit: int


def password_key(world: World, identifier: str, device: bytes | None = None) -> bytes:
    """The counter of a submitted name (authentication R37, R38); of a device that this name was seen on, a counter of its own (authentication R44)."""
    name = fold_identifier(identifier)
    return world.keys.lookup.digest("throttle.password", name if device is None else f"{name}\0{device.hex()}")


async def of_password(tx: Transaction, world: World, user_id: UUID, email: str) -> Sequence[bytes]:
    """Every counter of an account's password: of its address, and of each device that it was seen on."""
    seen = select(SessionRow.device_digest).where(SessionRow.user_id == user_id, SessionRow.device_digest.is_not(None)).distinct()
    return [password_key(world, email), *(password_key(world, email, digest) for digest in await tx.scalars(seen))]


def login_code_key(world: World, identifier: str) -> bytes:
    """The counter of mailed codes by submitted name: apart from the password's, so that neither locks the other (authentication R39, R44)."""
    return world.keys.lookup.digest("throttle.login_code", fold_identifier(identifier))


def factor_key(world: World, kind: str, user_id: object) -> bytes:
    """The counter of a kind of second factor over all logins and devices of an account. Recovery codes have their own (authentication R39)."""
    return world.keys.lookup.digest(f"throttle.{kind}", str(user_id))


def network_key(world: World, kind: str, origin: Origin) -> bytes:
    """The counter of an address; of an IPv6 /64, for that is what one customer has. No address: one for all of those (authentication R46)."""
    return world.keys.lookup.digest(f"throttle.{kind}", network_group(origin.ip))


async def attempt(tx: Transaction, key: bytes, ladder: Ladder, now: datetime) -> TooManyAttempts | None:
    """Count one attempt before it is looked at; the refusal, to be raised after the block, if it must not be looked at."""
    tried = Throttle.attempts + 1
    locks = [(tried >= least, now + wait) for least, wait in reversed(ladder.steps)]
    kept = case((tried < ladder.stop, now + KEPT), else_=None)  # one that has stopped is not swept: only recovery opens it
    values = {"attempts": tried, "locked_until": case(*locks, else_=None), "expires_at": kept}
    free = (Throttle.attempts < ladder.stop, or_(Throttle.locked_until.is_(None), Throttle.locked_until <= now))
    first = {"attempts": 1, "locked_until": None, "expires_at": now + KEPT}
    if counted := await _counted(tx, key, free, values, first):
        if counted >= ladder.steps[0][0]:
            on_commit(tx, counters.LOCKOUTS.labels(ladder.factor).inc)
        return None
    return await _refusal(tx, key, now, ladder.stop)


async def standing(tx: Transaction, key: bytes, ladder: Ladder, now: datetime) -> TooManyAttempts | None:
    """The refusal that a try would meet now, without counting one: for what rests on a factor and does not show it (authentication R45)."""
    shut = or_(Throttle.attempts >= ladder.stop, Throttle.locked_until > now)
    if await tx.scalar(select(Throttle.key).where(Throttle.key == key, shut)) is None:
        return None
    return await _refusal(tx, key, now, ladder.stop)


async def within(tx: Transaction, key: bytes, window: AttemptLimit, now: datetime) -> TooManyAttempts | None:
    """Count one in a window of time."""
    over = Throttle.locked_until <= now
    values = {
        "attempts": case((over, 1), else_=Throttle.attempts + 1),
        "locked_until": case((over, now + window.span), else_=Throttle.locked_until),
        "expires_at": now + window.span,
    }
    first = {"attempts": 1, "locked_until": now + window.span, "expires_at": now + window.span}
    if await _counted(tx, key, (or_(over, Throttle.attempts < window.limit),), values, first):
        return None
    return await _refusal(tx, key, now, None)


async def _counted(tx: Transaction, key: bytes, free: Sequence[Any], values: dict[str, Any], first: dict[str, Any]) -> int:
    """Where the counter stands now; 0 when it was not free."""
    counted = update(Throttle).where(Throttle.key == key, *free).values(values).returning(Throttle.attempts)
    if stands := await tx.scalar(counted):
        return stands
    if await dialect.insert_once(tx, Throttle, {"key": key, **first}, unless=["key"]):
        return 1
    return await tx.scalar(counted) or 0  # a twin made the row in between


async def _refusal(tx: Transaction, key: bytes, now: datetime, stop: int | None) -> TooManyAttempts:
    row = (await tx.execute(select(Throttle.attempts, Throttle.locked_until).where(Throttle.key == key))).one_or_none()
    counters.login_throttled.inc()
    log.info(
        "throttled", attempts=row.attempts if row is not None else None
    )  # authentication R72; an event for each would be a flood's own weapon
    if row is None:
        return TooManyAttempts(retry_after=1)  # swept in between
    if stop is not None and row.attempts >= stop:
        return TooManyAttempts("Too many wrong tries in a row; it stays closed until it is recovered or unlocked.", retry_after=3600)
    wait = (row.locked_until - now).total_seconds() if row.locked_until else 1
    return TooManyAttempts(retry_after=max(1, ceil(wait)))


async def forgive(tx: Transaction, *keys: bytes) -> None:
    """A right answer clears the counter of that factor of that account, and nothing else (authentication R42)."""
    await tx.execute(update(Throttle).where(Throttle.key.in_(keys)).values(attempts=0, locked_until=None))


async def passed(tx: Transaction, world: World, origin: Origin, *keys: bytes) -> None:
    """The answer was right: the factor's counters start anew, and the address takes back the failure that was counted before (authentication R42, R43).

    What else the address has failed at stays.
    """
    await take_back(tx, network_key(world, "failures", origin))
    await forgive(tx, *keys)


async def take_back(tx: Transaction, key: bytes, **more: Any) -> None:
    """Undo one count: it was right, or it was not looked at."""
    took = update(Throttle).where(Throttle.key == key, Throttle.attempts > 0)
    await tx.execute(took.values(attempts=Throttle.attempts - 1, **more))


def posts(world: World) -> AttemptLimit:
    return AttemptLimit(timedelta(minutes=1), world.settings.login_posts_per_minute)


def failures(world: World) -> AttemptLimit:
    return AttemptLimit(timedelta(minutes=5), world.settings.login_failures_per_ip)


async def posted(tx: Transaction, world: World, origin: Origin) -> TooManyAttempts | None:
    """Count a post of an address that no guess comes with."""
    return await within(tx, network_key(world, "posts", origin), posts(world), world.clock.now())


async def at_the_door(tx: Transaction, world: World, origin: Origin) -> TooManyAttempts | None:
    """What an address may do before any name is looked at: so many posts, and so many failures (authentication R40, R46, R47).

    Each is counted as a failure until it has passed: a burst must not be looked at beyond the limit (authentication R43).
    """
    refusal = await posted(tx, world, origin)
    return refusal or await within(tx, network_key(world, "failures", origin), failures(world), world.clock.now())


async def tries(world: World, key: bytes) -> int:
    """How many tries in a row a counter stands at."""

    async def ask(tx: Transaction) -> int:
        return await tx.scalar(select(Throttle.attempts).where(Throttle.key == key)) or 0

    return await world.db.find(ask)


async def knock(world: World, origin: Origin, key: bytes | None = None) -> None:
    """Count a try of the address and, under its key, of a password or a code in its place, whatever comes of it.

    Raises TooManyAttempts, after the counts stand.
    """
    async with world.db.write(commit_now=True) as tx:
        refusal = await at_the_door(tx, world, origin)
        if refusal is None and key is not None:
            refusal = await attempt(tx, key, PASSWORD, world.clock.now())
            if refusal is not None:  # nothing is looked at: somebody else's lock must not become this address's
                await take_back(tx, network_key(world, "failures", origin))
    if refusal is not None:
        raise refusal


async def count(world: World, key: bytes, ladder: Ladder) -> None:
    """Count a try of a second factor. Raises TooManyAttempts, after the count stands."""
    async with world.db.write(commit_now=True) as tx:
        refusal = await attempt(tx, key, ladder, world.clock.now())
    if refusal is not None:
        raise refusal


async def evaluated(world: World, origin: Origin, key: bytes, check: Awaitable[bool]) -> bool:
    """What the check says; if the service is too busy to look, the attempt is given back (authentication R43). Raises Busy."""
    try:
        return await check
    except Busy:
        async with world.db.write(commit_now=True) as tx:
            await take_back(tx, network_key(world, "failures", origin))
            await take_back(tx, key, locked_until=None)
        raise


async def failed(world: World, origin: Origin, factor: str, user_id: UUID | None, reason: str) -> None:
    """Note a failure as an event, for whoever looks for break-ins (authentication R72). It says the same of unknown names."""
    async with world.db.write(commit_now=True) as tx:
        if user_id is not None and not await lock_unless_erased(tx, user_id):
            user_id = None  # erased meanwhile: nothing is added to what is forgotten
        subject = ("user", user_id) if user_id is not None else ("login", world.entropy.identifier())
        actor = Actor("anonymous")
        on_commit(tx, counters.login_refused.inc)
        await record(tx, world, "login.failed", actor, subject, user_id, factor=factor, reason=reason, ip=origin.ip)


def of_account(world: World, user_id: UUID) -> tuple[bytes, ...]:
    """The counters of every kind of second factor."""
    return factor_key(world, "totp", user_id), factor_key(world, "recovery", user_id)
