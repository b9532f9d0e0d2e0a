"""Create, rotate, list, revoke and authenticate operator keys."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from app.api_keys.models import ApiKey
from app.api_keys.problems import ApiKeyNotFound, ApiKeyOver, ScopeBeyondOwn
from app.base.durations import Duration
from app.base.problems import Malformed
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.security.sealing import digest_token
from app.web.callers import Operator
from app.web.paging import PageWindow, read_page
from app.world import World

PREFIX = "op_"
LAST_USE_PRECISION = timedelta(hours=1)
"""Precision of `last_used_at`: at most one write in this time, however often a key is used."""
_keys = select(
    ApiKey.id,
    ApiKey.name,
    ApiKey.scopes,
    ApiKey.created_at,
    ApiKey.expires_at,
    ApiKey.revoked_at,
    ApiKey.replaced_by,
    ApiKey.last_used_at,
)


async def create_key(
    world: World, operator: Operator | None, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> tuple[AnyRow, str]:
    """Create a key; return its row and the key itself. `operator` is None on the command line. Raises ScopeBeyondOwn, Malformed."""
    _require_within_own(operator, scopes, expires_at)
    if expires_at is not None and expires_at <= world.clock.now():
        raise Malformed([("/expires_at", "in_the_past", "must be in the future")])
    key = world.entropy.secret(PREFIX)
    async with world.db.write() as tx:
        row = await _insert_key(tx, world, key, world.entropy.identifier(), name, sorted(set(scopes)), expires_at)
        await record(tx, world, "api_key.created", _build_actor(operator), ("api_key", row.id), scopes=row.scopes)
    return row, key


def _require_within_own(operator: Operator | None, scopes: Sequence[str], expires_at: datetime | None) -> None:
    """Raise ScopeBeyondOwn for scopes or an expiry beyond those of the operator's own key."""
    if operator is not None and not all(operator.may(scope) for scope in scopes):
        raise ScopeBeyondOwn
    if operator is not None and operator.expires_at is not None and (expires_at is None or expires_at > operator.expires_at):
        raise ScopeBeyondOwn("Set `expires_at` no later than the expiry of the key that you use.")


async def _insert_key(
    tx: Transaction, world: World, key: str, key_id: UUID, name: str, scopes: Sequence[str], expires_at: datetime | None
) -> AnyRow:
    values = {"id": key_id, "name": name, "key_hash": digest_token(key), "scopes": scopes, "expires_at": expires_at}
    await tx.execute(insert(ApiKey).values(created_at=world.clock.now(), **values))
    return (await tx.execute(_keys.where(ApiKey.id == key_id))).one()


async def rotate_key(world: World, operator: Operator | None, key_id: UUID, overlap: str) -> tuple[AnyRow, str]:
    """Replace a key; return the new key's row and the new key itself. Raises ApiKeyNotFound, ApiKeyOver, ScopeBeyondOwn.

    The old key stays valid for `overlap`, or until its own expiry if that is earlier. Concurrent requests replace it only once.
    """
    now, key, new_id = world.clock.now(), world.entropy.secret(PREFIX), world.entropy.identifier()
    until = Duration.parse(overlap).after(now)
    async with world.db.write() as tx:
        old = (await tx.execute(_keys.where(ApiKey.id == key_id))).one_or_none()
        if old is None:
            raise ApiKeyNotFound
        _require_within_own(operator, old.scopes, old.expires_at)
        new_expiry = until if old.expires_at is None else min(until, old.expires_at)
        live = (ApiKey.replaced_by.is_(None), ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now))
        replacement = update(ApiKey).where(ApiKey.id == key_id, *live).values(replaced_by=new_id, expires_at=new_expiry)
        if not (await tx.execute(replacement)).rowcount:
            raise ApiKeyOver
        row = await _insert_key(tx, world, key, new_id, old.name, old.scopes, old.expires_at)
        await record(tx, world, "api_key.rotated", _build_actor(operator), ("api_key", key_id), replaced_by=str(new_id))
    return row, key


async def revoke_key(world: World, operator: Operator | None, key_id: UUID) -> None:
    """Revoke a key at once; repeating it changes nothing. Raises ApiKeyNotFound."""
    async with world.db.write() as tx:
        if await tx.scalar(select(ApiKey.id).where(ApiKey.id == key_id)) is None:
            raise ApiKeyNotFound
        statement = update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=world.clock.now())
        if (await tx.execute(statement)).rowcount:
            await record(tx, world, "api_key.revoked", _build_actor(operator), ("api_key", key_id))


async def list_keys(world: World, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    """List the keys; returns the rows and the next cursor."""
    async with world.db.query() as tx:
        return await read_page(tx, _keys, ApiKey.id, window)


async def authenticate(world: World, key: str) -> Operator | None:
    """Return the operator of a key, or None if the key is unknown, revoked or expired."""
    now = world.clock.now()

    async def find(tx: Transaction) -> AnyRow | None:
        live = (ApiKey.key_hash == digest_token(key), ApiKey.revoked_at.is_(None))
        return (await tx.execute(_keys.where(*live))).one_or_none()

    row = await world.db.query_with_retry(find)
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    if row.last_used_at is None or now - row.last_used_at >= LAST_USE_PRECISION:
        await _record_use(world, row.id, now)
    return Operator(row.id, row.name, frozenset(row.scopes), row.expires_at)


async def _record_use(world: World, key_id: UUID, now: datetime) -> None:
    """Record the use of a key. A database error is ignored, so that it does not fail the request."""
    earlier = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - LAST_USE_PRECISION)
    with suppress(DBAPIError):
        async with world.db.write(commit_now=True) as tx:
            await tx.execute(update(ApiKey).where(ApiKey.id == key_id, earlier).values(last_used_at=now))


def _build_actor(operator: Operator | None) -> Actor:
    return Actor("operator", operator.id) if operator else Actor.system()
