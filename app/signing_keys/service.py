"""Load the signing keys into the process, create the first one, and list the public keys."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from app.base.durations import instant_text
from app.db import dialect
from app.db.database import Transaction
from app.db.types import AnyRow
from app.security.sealing import Place, SealBroken
from app.security.signing import Signer, SigningKey, read_kid
from app.signing_keys.models import KeyMark, KeyState, SigningKeyRow
from app.world import World

LOOKUP_KEY = "lookup_key"
CACHE_TIME = timedelta(minutes=5)
"""How long a process uses the keys that it read from the database."""
RELOAD_INTERVAL = timedelta(seconds=5)
"""The shortest time between two reloads for an unknown `kid`, so that invented `kid`s cost little."""

_newest_first = SigningKeyRow.created_at.desc()
_every_key = select(SigningKeyRow.kid, SigningKeyRow.state, SigningKeyRow.retired_at, SigningKeyRow.private_sealed).order_by(_newest_first)
_public_keys = select(SigningKeyRow.public).where(SigningKeyRow.state != KeyState.REVOKED).order_by(_newest_first)
_revoked_keys = (
    select(SigningKeyRow.public, SigningKeyRow.retired_at).where(SigningKeyRow.state == KeyState.REVOKED).order_by(_newest_first)
)
_mark = select(KeyMark.mark).where(KeyMark.name == bindparam("name"))


def private_key_place(kid: str) -> Place:
    """Return the place that the sealed private key is bound to."""
    return Place("signing_keys", "private_sealed", kid)


class KeysMismatch(Exception):
    """A configured key differs from the key that this database was written with. `faults` are (setting, sentence)."""

    def __init__(self, setting: str, sentence: str) -> None:
        super().__init__(f"{setting}: {sentence}")
        self.faults = [(setting, sentence)]


async def load_signer(world: World) -> Signer:
    """Return the signing keys, cached for `CACHE_TIME`; create the first key if the database has none.

    Every replica sees a rotation within minutes. Its signatures until then still verify, because retired keys stay published.
    Raises KeysMismatch.
    """
    cache, now = world.keys.signing, world.clock.now()
    if cache.signer is not None and cache.read_at is not None and abs(now - cache.read_at) < CACHE_TIME:
        return cache.signer
    return await _reload_signer(world)


async def load_signer_for(world: World, token: str) -> Signer:
    """Return the signing keys; reload them first if the token names an unknown key, which another replica may have created."""
    signer, kid, cache = await load_signer(world), read_kid(token), world.keys.signing
    if kid is None or kid in signer.known:
        return signer
    async with cache.turn:  # callers that arrive during a reload wait for its result
        now = world.clock.now()
        if cache.missed_at is None or abs(now - cache.missed_at) >= RELOAD_INTERVAL:
            cache.missed_at = now
            return await _reload_signer(world)
    return await load_signer(world)


async def read_signer(tx: Transaction, world: World) -> Signer:
    """Read the keys in the transaction's snapshot, not from the cache. For receipts, seals and their verification."""
    return _to_signer(world, (await tx.execute(_every_key)).all()) or await load_signer(world)


async def _reload_signer(world: World) -> Signer:
    cache, now = world.keys.signing, world.clock.now()
    try:
        signer = await _read_signer(world)
    except SealBroken as broken:
        raise KeysMismatch("LICENTIA_ENCRYPTION_KEYS", f"does not contain the key that encrypted this database: {broken}") from broken
    await _check_lookup_key(world)
    if signer is None:
        await _create_first_key(world)
        signer = await _read_signer(world)
    if signer is None:
        raise RuntimeError("no signing key is active")
    cache.signer, cache.read_at = signer, now
    return signer


async def _read_signer(world: World) -> Signer | None:
    return _to_signer(world, await world.db.query_many(_every_key, {}))


def _to_signer(world: World, rows: Sequence[AnyRow]) -> Signer | None:
    """Build the signer from the rows; None if no key is active."""
    keys = {row.kid: SigningKey.from_private(world.keys.sealer.open(row.private_sealed, private_key_place(row.kid))) for row in rows}
    active = [row.kid for row in rows if row.state == KeyState.ACTIVE]
    revoked = {row.kid: row.retired_at for row in rows if row.state == KeyState.REVOKED}
    current = frozenset(row.kid for row in rows if _is_current(world, row))
    return Signer(keys[active[0]], keys, current, revoked) if active else None


def _is_current(world: World, row: AnyRow) -> bool:
    """Return whether short-lived tokens of this key are accepted.

    Never those of a revoked key; those of a retired key until the last of them has expired (authentication R63).
    """
    if row.state == KeyState.REVOKED:
        return False
    return row.retired_at is None or bool(world.clock.now() < row.retired_at + world.settings.access_lifetime + CACHE_TIME)


async def _check_lookup_key(world: World) -> None:
    """Compare the lookup key with the mark that the first start stored. Raises KeysMismatch."""
    mark, name = world.keys.lookup.digest("mark", LOOKUP_KEY), {"name": LOOKUP_KEY}
    row = await world.db.query_one(_mark, name)
    if row is None:
        async with world.db.write(commit_now=True) as tx:
            await dialect.insert_once(tx, KeyMark, {**name, "mark": mark}, unless=["name"])
        row = await world.db.query_one(_mark, name)
    if row is None or row.mark != mark:
        raise KeysMismatch("LICENTIA_LOOKUP_KEY", "is not the key with which this database's license keys and codes were created")


async def _create_first_key(world: World) -> None:
    key = SigningKey.generate()
    try:
        async with world.db.write(commit_now=True) as tx:
            await insert_key(tx, world, key, KeyState.ACTIVE)
    except IntegrityError:
        pass  # another replica created the first key at the same time; use that key


async def insert_key(tx: Transaction, world: World, key: SigningKey, state: KeyState) -> None:
    """Insert a key with its sealed private half. A step."""
    now = world.clock.now()
    values = {
        "kid": key.kid,
        "state": state,
        "public": key.public(),
        "private_sealed": world.keys.sealer.seal(key.private(), private_key_place(key.kid)),
        "created_at": now,
        "activated_at": now if state is KeyState.ACTIVE else None,
    }
    await tx.execute(insert(SigningKeyRow).values(values))


async def list_jwks(world: World) -> list[dict[str, Any]]:
    """List every published public key as a JWK (RFC 7517 section 5), newest first."""
    await load_signer(world)  # creates the first key if there is none
    return [row.public for row in await world.db.query_many(_public_keys, {})]


async def list_public_keys(tx: Transaction) -> list[dict[str, Any]]:
    """List the public keys that were not revoked. A step."""
    return list((await tx.scalars(_public_keys)).all())


async def list_revoked_keys(tx: Transaction) -> list[dict[str, Any]]:
    """List the revoked public keys, each with its `revoked_at`: evidence must show which signatures they made. A step."""
    rows = (await tx.execute(_revoked_keys)).all()
    return [{**row.public, "revoked_at": instant_text(row.retired_at)} for row in rows]
