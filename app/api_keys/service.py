"""Making, listing and revoking operator keys."""

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
from app.security.sealing import token_digest
from app.web.callers import Operator
from app.web.paging import PageWindow, read_page
from app.world import World

PREFIX = "op_"
LAST_USE_PRECISION = timedelta(hours=1)
"""How exactly the last use is told: one write in that time, however often a key is used."""
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
    """The new key's row, and the key itself, which is shown this once. `by` is None on the command line."""
    _require_within_own(operator, scopes, expires_at)
    if expires_at is not None and expires_at <= world.clock.now():
        raise Malformed([("/expires_at", "in_the_past", "wants a moment that is still to come")])
    key = world.entropy.secret(PREFIX)
    async with world.db.write() as tx:
        row = await _insert_key(tx, world, key, world.entropy.identifier(), name, sorted(set(scopes)), expires_at)
        await record(tx, world, "api_key.created", _actor(operator), ("api_key", row.id), scopes=row.scopes)
    return row, key


def _require_within_own(operator: Operator | None, scopes: Sequence[str], expires_at: datetime | None) -> None:
    if operator is not None and not all(operator.may(scope) for scope in scopes):
        raise ScopeBeyondOwn
    if operator is not None and operator.expires_at is not None and (expires_at is None or expires_at > operator.expires_at):
        raise ScopeBeyondOwn("A key that expires can make only keys that expire no later.")


async def _insert_key(
    tx: Transaction, world: World, key: str, key_id: UUID, name: str, scopes: Sequence[str], expires_at: datetime | None
) -> AnyRow:
    values = {"id": key_id, "name": name, "key_hash": token_digest(key), "scopes": scopes, "expires_at": expires_at}
    await tx.execute(insert(ApiKey).values(created_at=world.clock.now(), **values))
    return (await tx.execute(_keys.where(ApiKey.id == key_id))).one()


async def rotate_key(world: World, operator: Operator | None, key_id: UUID, overlap: str) -> tuple[AnyRow, str]:
    """(the new key's row, the key itself) in the place of a key that lives on for `overlap`, or to its own end if that is earlier.

    A key is replaced once, however many ask at the same moment. Raises ApiKeyNotFound, ApiKeyOver, ScopeBeyondOwn.
    """
    now, key, fresh_id = world.clock.now(), world.entropy.secret(PREFIX), world.entropy.identifier()
    until = Duration.parse(overlap).after(now)
    async with world.db.write() as tx:
        old = (await tx.execute(_keys.where(ApiKey.id == key_id))).one_or_none()
        if old is None:
            raise ApiKeyNotFound
        _require_within_own(operator, old.scopes, old.expires_at)
        ends = until if old.expires_at is None else min(until, old.expires_at)
        live = (ApiKey.replaced_by.is_(None), ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now))
        replaced = update(ApiKey).where(ApiKey.id == key_id, *live).values(replaced_by=fresh_id, expires_at=ends)
        if not (await tx.execute(replaced)).rowcount:
            raise ApiKeyOver
        row = await _insert_key(tx, world, key, fresh_id, old.name, old.scopes, old.expires_at)
        await record(tx, world, "api_key.rotated", _actor(operator), ("api_key", key_id), replaced_by=str(fresh_id))
    return row, key


async def revoke_key(world: World, operator: Operator | None, key_id: UUID) -> None:
    """Kill a key at once. Revoking it again changes nothing."""
    async with world.db.write() as tx:
        if await tx.scalar(select(ApiKey.id).where(ApiKey.id == key_id)) is None:
            raise ApiKeyNotFound
        statement = update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=world.clock.now())
        if (await tx.execute(statement)).rowcount:
            await record(tx, world, "api_key.revoked", _actor(operator), ("api_key", key_id))


async def list_keys(world: World, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.query() as tx:
        return await read_page(tx, _keys, ApiKey.id, window)


async def authenticate(world: World, key: str) -> Operator | None:
    """Who holds this key, if it is good now."""
    now = world.clock.now()

    async def ask(tx: Transaction) -> AnyRow | None:
        good = (ApiKey.key_hash == token_digest(key), ApiKey.revoked_at.is_(None))
        return (await tx.execute(_keys.where(*good))).one_or_none()

    row = await world.db.find(ask)
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    if row.last_used_at is None or now - row.last_used_at >= LAST_USE_PRECISION:
        await _record_use(world, row.id, now)
    return Operator(row.id, row.name, frozenset(row.scopes), row.expires_at)


async def _record_use(world: World, key_id: UUID, now: datetime) -> None:
    """Note the use. A database that does not take it now is no reason to refuse what was asked."""
    earlier = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - LAST_USE_PRECISION)
    with suppress(DBAPIError):
        async with world.db.write(commit_now=True) as tx:
            await tx.execute(update(ApiKey).where(ApiKey.id == key_id, earlier).values(last_used_at=now))


def _actor(operator: Operator | None) -> Actor:
    return Actor("operator", operator.id) if operator else Actor.system()
