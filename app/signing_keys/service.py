"""Loading the signing keys into the process, making the first one, and publishing the public halves."""

from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from app.base.sealing import Place
from app.base.signing import Signer, SigningKey
from app.db.database import Session
from app.signing_keys.models import SigningKeyRow, State
from app.world import World

_all = select(SigningKeyRow.kid, SigningKeyRow.state, SigningKeyRow.private_sealed).order_by(SigningKeyRow.created_at.desc())


def _place(kid: str) -> Place:
    return Place("signing_keys", "private_sealed", kid)


async def signer(world: World) -> Signer:
    """The keys of the moment, from the process's shelf; read (and the first key made) on the first call."""
    if (kept := world.keys.signing.signer) is not None:
        return kept
    found = await _load(world)
    if found is None:
        await _make(world)
        found = await _load(world)
    if found is None:
        raise RuntimeError("no signing key is active")
    world.keys.signing.signer = found
    return found


async def _load(world: World) -> Signer | None:
    async def ask(session: Session) -> Signer | None:
        rows = (await session.execute(_all)).all()
        keys = {row.kid: SigningKey.from_private(world.keys.sealer.open(row.private_sealed, _place(row.kid))) for row in rows}
        active = [row.kid for row in rows if row.state == State.ACTIVE]
        return Signer(keys[active[0]], keys) if active else None

    return await world.db.find(ask)


async def _make(world: World) -> None:
    fresh = SigningKey.generate()
    values = {
        "kid": fresh.kid,
        "state": State.ACTIVE,
        "public": fresh.public(),
        "private_sealed": world.keys.sealer.seal(fresh.private(), _place(fresh.kid)),
        "created_at": world.clock.now(),
    }
    try:
        async with world.db.write(stands=True) as session:
            await session.execute(insert(SigningKeyRow).values(values))
    except IntegrityError:
        pass  # another replica made the first key at the same moment; its key is the one


async def key_set(world: World) -> list[dict[str, Any]]:
    """The JWK set (RFC 7517 section 5): every public key that ever signed."""
    await signer(world)

    async def ask(session: Session) -> list[dict[str, Any]]:
        return list((await session.scalars(select(SigningKeyRow.public).order_by(SigningKeyRow.created_at.desc()))).all())

    return await world.db.find(ask)
