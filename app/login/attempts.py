"""Count login attempts per name, factor, account and network, before a credential is checked (authentication R37 to R48).

Lock order: docs/architecture.md, "Lock order".
"""

from collections.abc import Awaitable, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select

from app.base.problems import Busy
from app.db.database import Transaction, on_commit
from app.events.service import Actor, record
from app.login.models import SessionRow
from app.observability import counters as metrics
from app.users.data_lifecycle import lock_unless_erased
from app.users.rules import fold_identifier
from app.web import counters
from app.web.addresses import network_group
from app.web.callers import Origin
from app.web.counters import LockoutSchedule, WindowLimit
from app.web.problems import TooManyAttempts
from app.world import World

PASSWORD = LockoutSchedule("password", tuple((5 + n, min(timedelta(seconds=30 * 2**n), timedelta(minutes=15))) for n in range(6)))
SECOND_FACTOR = LockoutSchedule("second_factor", ((10, timedelta(minutes=15)), (30, timedelta(hours=1))))


def build_password_key(world: World, identifier: str, device: bytes | None = None) -> bytes:
    """Build the counter key of a submitted name (authentication R37, R38), or of the name on a known device (authentication R44)."""
    name = fold_identifier(identifier)
    return world.keys.lookup.digest("throttle.password", name if device is None else f"{name}\0{device.hex()}")


async def list_password_keys(tx: Transaction, world: World, user_id: UUID, email: str) -> Sequence[bytes]:
    """List every counter key of an account's password: of its address, and of each device on which it logged in."""
    seen = select(SessionRow.device_digest).where(SessionRow.user_id == user_id, SessionRow.device_digest.is_not(None)).distinct()
    return [build_password_key(world, email), *(build_password_key(world, email, digest) for digest in await tx.scalars(seen))]


def build_login_code_key(world: World, identifier: str) -> bytes:
    """Build the counter key of mailed codes for a submitted name (authentication R39, R44).

    The password has another key, so neither locks the other.
    """
    return world.keys.lookup.digest("throttle.login_code", fold_identifier(identifier))


def build_factor_key(world: World, kind: str, user_id: object) -> bytes:
    """Build the counter key of one kind of second factor, over all logins and devices of an account (authentication R39)."""
    return world.keys.lookup.digest(f"throttle.{kind}", str(user_id))


def list_second_factor_keys(world: World, user_id: UUID) -> tuple[bytes, ...]:
    """List the counter keys of every kind of second factor of an account."""
    return build_factor_key(world, "totp", user_id), build_factor_key(world, "recovery", user_id)


def build_network_key(world: World, kind: str, origin: Origin) -> bytes:
    """Build the counter key of an IPv4 address or an IPv6 /64, the size that one customer gets (authentication R46).

    All requests without an address share one key.
    """
    return world.keys.lookup.digest(f"throttle.{kind}", network_group(origin.ip))


def _build_post_limit(world: World) -> WindowLimit:
    return WindowLimit(timedelta(minutes=1), world.settings.login_posts_per_minute)


def _build_failure_limit(world: World) -> WindowLimit:
    return WindowLimit(timedelta(minutes=5), world.settings.login_failures_per_ip)


async def count_post(tx: Transaction, world: World, origin: Origin) -> TooManyAttempts | None:
    """Count one request of an address that carries no credential; return the refusal if there were too many."""
    return await counters.count_in_window(tx, build_network_key(world, "posts", origin), _build_post_limit(world), world.clock.now())


async def check_network(tx: Transaction, world: World, origin: Origin) -> TooManyAttempts | None:
    """Count one request and one failure of an address before any name is looked up (authentication R40, R46).

    A success refunds the failure; counting it first keeps a burst from getting more checks than the limit (authentication R43).
    """
    refusal = await count_post(tx, world, origin)
    return refusal or await counters.count_in_window(
        tx, build_network_key(world, "failures", origin), _build_failure_limit(world), world.clock.now()
    )


async def count_attempt(world: World, origin: Origin, key: bytes | None = None) -> None:
    """Count an attempt of the address and, under `key`, of a password or code. The counts are committed in every case.

    Raises TooManyAttempts after the commit.
    """
    async with world.db.write(commit_now=True) as tx:
        refusal = await check_network(tx, world, origin)
        if refusal is None and key is not None:
            refusal = await counters.count_attempt(tx, key, PASSWORD, world.clock.now())
            if refusal is not None:  # no credential is checked, so this is no failure of the address
                await counters.refund(tx, build_network_key(world, "failures", origin))
    if refusal is not None:
        raise refusal


async def count_factor_attempt(world: World, key: bytes, schedule: LockoutSchedule) -> None:
    """Count an attempt at a second factor. Raises TooManyAttempts after the commit."""
    async with world.db.write(commit_now=True) as tx:
        refusal = await counters.count_attempt(tx, key, schedule, world.clock.now())
    if refusal is not None:
        raise refusal


async def run_counted(world: World, origin: Origin, key: bytes, check: Awaitable[bool]) -> bool:
    """Await the check of a counted attempt; refund the attempt if the service is too busy (authentication R43). Raises Busy."""
    try:
        return await check
    except Busy:
        async with world.db.write(commit_now=True) as tx:
            await counters.refund(tx, build_network_key(world, "failures", origin))
            await counters.refund(tx, key, locked_until=None)
        raise


async def record_success(tx: Transaction, world: World, origin: Origin, *keys: bytes) -> None:
    """Reset the counters of the factor and refund the failure of the address (authentication R42, R43).

    Other failures of the address stay counted.
    """
    await counters.refund(tx, build_network_key(world, "failures", origin))
    await counters.reset(tx, *keys)


async def record_failure(world: World, origin: Origin, factor: str, user_id: UUID | None, reason: str) -> None:
    """Record a failed login as an event, the same for known and unknown names (authentication R72)."""
    async with world.db.write(commit_now=True) as tx:
        if user_id is not None and not await lock_unless_erased(tx, user_id):
            user_id = None  # erased meanwhile: an erased account gets no new records
        subject = ("user", user_id) if user_id is not None else ("login", world.entropy.identifier())
        actor = Actor("anonymous")
        on_commit(tx, metrics.login_refused.inc)
        await record(tx, world, "login.failed", actor, subject, user_id, factor=factor, reason=reason, ip=origin.ip)
