"""Making, listing and revoking operator keys."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, update

from app.api_keys.models import ApiKey
from app.api_keys.problems import ApiKeyNotFound, ScopeBeyondOwn
from app.base.problems import Malformed
from app.base.sealing import token_digest
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.web.callers import Operator
from app.web.paging import Window, page
from app.world import World

PREFIX = "op_"
_shown = select(ApiKey.id, ApiKey.name, ApiKey.scopes, ApiKey.created_at, ApiKey.expires_at, ApiKey.revoked_at)


async def create(
    world: World, by: Operator | None, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> tuple[AnyRow, str]:
    """The new key's row, and the key itself, which is shown this once. `by` is None on the command line."""
    if by is not None and not all(by.may(scope) for scope in scopes):
        raise ScopeBeyondOwn
    if by is not None and by.expires_at is not None and (expires_at is None or expires_at > by.expires_at):
        raise ScopeBeyondOwn("A key that expires can make only keys that expire no later.")
    if expires_at is not None and expires_at <= world.clock.now():
        raise Malformed([("/expires_at", "in_the_past", "wants a moment that is still to come")])
    key, key_id = world.entropy.secret(PREFIX), world.entropy.identifier()
    values = {
        "id": key_id,
        "name": name,
        "key_hash": token_digest(key),
        "scopes": sorted(set(scopes)),
        "created_at": world.clock.now(),
        "expires_at": expires_at,
    }
    async with world.db.write() as session:
        await session.execute(insert(ApiKey).values(values))
        await record(session, world, "api_key.created", _actor(by), ("api_key", key_id), scopes=values["scopes"])
        row = (await session.execute(_shown.where(ApiKey.id == key_id))).one()
    return row, key


async def revoke(world: World, by: Operator | None, key_id: UUID) -> None:
    """Kill a key at once. Revoking it again changes nothing."""
    async with world.db.write() as session:
        if await session.scalar(select(ApiKey.id).where(ApiKey.id == key_id)) is None:
            raise ApiKeyNotFound
        statement = update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=world.clock.now())
        if (await session.execute(statement)).rowcount:
            await record(session, world, "api_key.revoked", _actor(by), ("api_key", key_id))


async def listed(world: World, window: Window) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.lookup() as session:
        return await page(session, _shown, ApiKey.id, window)


async def holder(world: World, key: str) -> Operator | None:
    """Who holds this key, if it is good now."""
    now = world.clock.now()

    async def ask(session: Session) -> Operator | None:
        row = (await session.execute(_shown.where(ApiKey.key_hash == token_digest(key), ApiKey.revoked_at.is_(None)))).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= now):
            return None
        return Operator(row.id, row.name, frozenset(row.scopes), row.expires_at)

    return await world.db.find(ask)


def _actor(by: Operator | None) -> Actor:
    return Actor("operator", by.id) if by else Actor.system()
