"""Loading the signing keys into the process, making the first one, and publishing the public halves."""

from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from app.base.durations import instant_text
from app.db import dialect
from app.db.database import Transaction
from app.db.types import AnyRow
from app.security.sealing import Place, SealBroken
from app.security.signing import Signer, SigningKey, read_kid
from app.signing_keys.models import KeyMark, SigningKeyRow, State
from app.world import World

_all = select(SigningKeyRow.kid, SigningKeyRow.state, SigningKeyRow.retired_at, SigningKeyRow.private_sealed).order_by(
    SigningKeyRow.created_at.desc()
)


LOOKUP_KEY = "lookup_key"
READ_ANEW = timedelta(minutes=5)
MISSED = timedelta(seconds=5)
"""How often at most an unknown `kid` makes a process read its keys anew: whoever makes `kid`s up costs nothing."""


def place(kid: str) -> Place:
    return Place("signing_keys", "private_sealed", kid)


class WrongKeys(Exception):
    """The configuration's keys are not those that this database was written with. `faults` are (setting, sentence)."""

    def __init__(self, setting: str, sentence: str) -> None:
        super().__init__(f"{setting}: {sentence}")
        self.faults = [(setting, sentence)]


async def signer(world: World) -> Signer:
    """The keys of the moment, from the process's shelf; read (and the first key made) on the first call, and again now and then.

    A rotation is seen by every replica within minutes; what they sign meanwhile still verifies, for retired keys stay published.
    """
    shelf, now = world.keys.signing, world.clock.now()
    if shelf.signer is not None and shelf.read_at is not None and abs(now - shelf.read_at) < READ_ANEW:
        return shelf.signer
    return await _read(world)


async def knowing(world: World, token: str) -> Signer:
    """The keys of the moment; read anew first if the token names one that this process has not heard of, for another replica may have
    turned them over since."""
    found, kid, shelf = await signer(world), read_kid(token), world.keys.signing
    if kid is None or kid in found.known:
        return found
    async with shelf.turn:  # whoever comes while they are read waits for them, and is judged by them
        now = world.clock.now()
        if shelf.missed_at is None or abs(now - shelf.missed_at) >= MISSED:
            shelf.missed_at = now
            return await _read(world)
    return await signer(world)


async def read_in(tx: Transaction, world: World) -> Signer:
    """The keys as the session's own snapshot has them, for what judges or vouches for the record: never those of the shelf."""
    return await _loaded(tx, world) or await signer(world)


async def _read(world: World) -> Signer:
    shelf, now = world.keys.signing, world.clock.now()
    try:
        found = await _load(world)
    except SealBroken as broken:
        raise WrongKeys("LICENTIA_ENCRYPTION_KEYS", f"does not hold the key that this database was sealed with: {broken}") from broken
    await _check_lookup_key(world)
    if found is None:
        await _make(world)
        found = await _load(world)
    if found is None:
        raise RuntimeError("no signing key is active")
    shelf.signer, shelf.read_at = found, now
    return found


async def _load(world: World) -> Signer | None:
    async def ask(tx: Transaction) -> Signer | None:
        return await _loaded(tx, world)

    return await world.db.find(ask)


async def _loaded(tx: Transaction, world: World) -> Signer | None:
    rows = (await tx.execute(_all)).all()
    keys = {row.kid: SigningKey.from_private(world.keys.sealer.open(row.private_sealed, place(row.kid))) for row in rows}
    active = [row.kid for row in rows if row.state == State.ACTIVE]
    revoked = {row.kid: row.retired_at for row in rows if row.state == State.REVOKED}
    return Signer(keys[active[0]], keys, frozenset(row.kid for row in rows if _vouches(world, row)), revoked) if active else None


def _vouches(world: World, row: AnyRow) -> bool:
    """Whether what the key signs for minutes is taken: not from one that leaked, and from a retired one only until the last of it has
    run out (authentication R63)."""
    if row.state == State.REVOKED:
        return False
    lasting = world.settings.access_lifetime + READ_ANEW
    return row.retired_at is None or bool(world.clock.now() < row.retired_at + lasting)


async def _check_lookup_key(world: World) -> None:
    mark = world.keys.lookup.digest("mark", LOOKUP_KEY)

    async def ask(tx: Transaction) -> bytes | None:
        return await tx.scalar(select(KeyMark.mark).where(KeyMark.name == LOOKUP_KEY))

    found = await world.db.find(ask)
    if found is None:
        async with world.db.write(commit_now=True) as tx:
            await dialect.insert_once(tx, KeyMark, {"name": LOOKUP_KEY, "mark": mark}, unless=["name"])
        found = await world.db.find(ask)
    if found != mark:
        raise WrongKeys("LICENTIA_LOOKUP_KEY", "is not the key that this database's license keys and codes were made with")


async def _make(world: World) -> None:
    fresh = SigningKey.generate()
    values = {
        "kid": fresh.kid,
        "state": State.ACTIVE,
        "public": fresh.public(),
        "private_sealed": world.keys.sealer.seal(fresh.private(), place(fresh.kid)),
        "created_at": world.clock.now(),
        "activated_at": world.clock.now(),
    }
    try:
        async with world.db.write(commit_now=True) as tx:
            await tx.execute(insert(SigningKeyRow).values(values))
    except IntegrityError:
        pass  # another replica made the first key at the same moment; its key is the one


async def key_set(world: World) -> list[dict[str, Any]]:
    """The JWK set (RFC 7517 section 5): every public key that ever signed, but for those that leaked."""
    await signer(world)

    return await world.db.find(public)


async def public(tx: Transaction) -> list[dict[str, Any]]:
    found = select(SigningKeyRow.public).where(SigningKeyRow.state != State.REVOKED).order_by(SigningKeyRow.created_at.desc())
    return list((await tx.scalars(found)).all())


async def revoked(tx: Transaction) -> list[dict[str, Any]]:
    """The public halves of those that leaked, each with its `revoked_at`: for evidence, which must tell what they signed."""
    found = select(SigningKeyRow.public, SigningKeyRow.retired_at).where(SigningKeyRow.state == State.REVOKED)
    rows = (await tx.execute(found.order_by(SigningKeyRow.created_at.desc()))).all()
    return [{**row.public, "revoked_at": instant_text(row.retired_at)} for row in rows]
